namespace Halo.Ir;

/// <summary>One input slot of one node.</summary>
public readonly record struct Use(Node Node, int Index);

/// <summary>An edge of the graph: defined once, by a node, as a graph input or as an initializer, and read by its uses.</summary>
public sealed class Value
{
    private readonly List<Use> _uses = [];

    public Value(string name, ElementType type = ElementType.Undefined, Shape? shape = null) => (Name, Type, Shape) = (name, type, shape);

    /// <summary>Unique in its graph; changed through <see cref="Graph.Rename"/>.</summary>
    public string Name { get; internal set; }

    public ElementType Type { get; set; }

    /// <summary>Null while the rank is unknown.</summary>
    public Shape? Shape { get; set; }

    /// <summary>The node that computes this value; null for graph inputs and initializers.</summary>
    public Node? Producer { get; internal set; }

    /// <summary>Which output of <see cref="Producer"/> this is.</summary>
    public int ProducerIndex { get; internal set; }

    /// <summary>The content, if the value is an initializer.</summary>
    public Tensor? Initializer { get; internal set; }

    /// <summary>
    /// The content, if nothing that runs the graph can change it: that of an initializer which is no graph input (a caller may give another there), or
    /// of a Constant node; null for any other value.
    /// </summary>
    public Tensor? Constant => Initializer is { } content ? (IsGraphInput ? null : content) : Producer is { } node ? Constants.Of(node) : null;

    public bool IsGraphInput { get; internal set; }

    public bool IsGraphOutput { get; internal set; }

    /// <summary>Every input slot that reads this value, subgraphs included, in the order the slots were filled.</summary>
    public IReadOnlyList<Use> Uses => _uses;

    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>The node that reads this value, if exactly one slot does and it is no graph output.</summary>
    public Node? OnlyUser => _uses.Count == 1 && !IsGraphOutput ? _uses[0].Node : null;

    internal void AddUse(Use use) => _uses.Add(use);

    /// <summary>The same uses in another order.</summary>
    internal void OrderUses(IEnumerable<Use> uses)
    {
        Use[] ordered = [.. uses];
        System.Diagnostics.Debug.Assert(ordered.Length == _uses.Count, "the order has other uses");
        _uses.Clear();
        _uses.AddRange(ordered);
    }

    internal void RemoveUse(Use use)
    {
        var index = _uses.LastIndexOf(use);
        System.Diagnostics.Debug.Assert(index >= 0, "the use list lost a use");
        _uses.RemoveAt(index);
    }

    /// <summary>Lets every reader of this value read <paramref name="replacement"/>. Graph outputs are moved by <see cref="Graph.ReplaceOutput"/>.</summary>
    /// <param name="replacement">The value to read from then on.</param>
    /// <param name="except">Nodes that keep reading this value, such as the one that computes the replacement.</param>
    public void ReplaceUsesWith(Value replacement, params ReadOnlySpan<Node> except)
    {
        foreach (var use in _uses.ToArray())
        {
            if (!except.Contains(use.Node))
                use.Node.ReplaceInput(use.Index, replacement);
        }
    }

    public override string ToString() => $"%{Name}: {Type.Name()}{Shape}";
}
