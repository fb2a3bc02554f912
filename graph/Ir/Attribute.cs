namespace Halo.Ir;

/// <summary>The kinds of attribute values; the numbers are those of <c>AttributeProto.AttributeType</c>.</summary>
public enum AttributeKind
{
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Tensors = 9,
    Graphs = 10,
}

/// <summary>A named constant of a node, or in a function body a reference to the caller's attribute.</summary>
/// <param name="Name">The operator's name for it.</param>
/// <param name="Kind">What <paramref name="Content"/> is.</param>
/// <param name="Content">float, long, string, Tensor, Graph, or a list of one of these; null for a reference.</param>
/// <param name="ReferenceTo">The name of the calling node's attribute that this one stands for; null outside functions.</param>
public sealed record Attribute(string Name, AttributeKind Kind, object? Content, string? ReferenceTo = null)
{
    public long Int => Get<long>();

    public float Float => Get<float>();

    public string String => Get<string>();

    public Tensor Tensor => Get<Tensor>();

    public Graph Graph => Get<Graph>();

    public IReadOnlyList<long> Ints => Get<IReadOnlyList<long>>();

    public IReadOnlyList<float> Floats => Get<IReadOnlyList<float>>();

    public IReadOnlyList<string> Strings => Get<IReadOnlyList<string>>();

    public static Attribute Of(string name, long value) => new(name, AttributeKind.Int, value);

    public static Attribute Of(string name, float value) => new(name, AttributeKind.Float, value);

    public static Attribute Of(string name, string value) => new(name, AttributeKind.String, value);

    public static Attribute Of(string name, Tensor value) => new(name, AttributeKind.Tensor, value);

    public static Attribute Of(string name, IReadOnlyList<long> value) => new(name, AttributeKind.Ints, value);

    public static Attribute Of(string name, IReadOnlyList<float> value) => new(name, AttributeKind.Floats, value);

    /// <summary>In a function body: the attribute <paramref name="reference"/> of the node that calls the function.</summary>
    public static Attribute Reference(string name, AttributeKind kind, string reference) => new(name, kind, null, reference);

    private T Get<T>() => Content is T value
        ? value
        : throw new HaloException("read-attribute", $"'{Name}'", typeof(T).Name, ReferenceTo is null ? Kind.ToString() : $"a reference to '{ReferenceTo}'",
            "The operator's schema fixes the kind of its attributes; export the graph again.");
}
