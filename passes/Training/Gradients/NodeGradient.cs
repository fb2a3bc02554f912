using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training.Gradients;

/// <summary>Adds to the gradients of what a node reads, given those of what it computes.</summary>
internal delegate void GradientRule(NodeGradient g);

/// <summary>One forward node as its rule sees it. What is built stands behind all other nodes; names extend <c>node/grad</c>.</summary>
internal sealed class NodeGradient
{
    private readonly GradientGraph _gradients;

    public NodeGradient(Node node, GradientGraph gradients)
    {
        (Node, _gradients) = (node, gradients);
        Build = GraphBuilder.AtEnd(node.Graph!, $"{(node.Name.Length > 0 ? node.Name : node.Output.Name)}/grad");
    }

    public Node Node { get; }

    public Model Model => _gradients.Model;

    public GraphBuilder Build { get; }

    /// <summary>The gradient of the first output.</summary>
    public Value D => _gradients.Of(Node.Output) ?? throw Refused("a gradient of the first output", "only one of another", "Use the first output.");

    /// <summary>The first output.</summary>
    public Value Y => Node.Output;

    /// <summary>The gradient of an output; null where the loss does not depend on it.</summary>
    public Value? DOf(int output) => output < Node.Outputs.Count ? _gradients.Of(Node.Outputs[output]) : null;

    public Value In(int input) => Node.Inputs[input]!;

    public bool Needs(int input) => _gradients.Needs(Node.Input(input));

    public bool Needs(Value value) => _gradients.Needs(value);

    /// <summary>Adds to the gradient of an input, if it is needed; axes along which the input was broadcast are summed.</summary>
    public void Add(int input, Func<Value> gradient)
    {
        if (Node.Input(input) is { } value)
            Add(value, gradient);
    }

    /// <summary>Adds to the gradient of a value in front of the node.</summary>
    public void Add(Value value, Func<Value> gradient)
    {
        if (Needs(value))
            _gradients.Add(value, SumTo(gradient(), value.Shape!), Build);
    }

    public Value Op(string opType, params ReadOnlySpan<Value?> inputs) => Build.Op(NameOf(opType), opType, inputs);

    public Value Op(string opType, ReadOnlySpan<Value?> inputs, params ReadOnlySpan<Attribute> attributes) =>
        Build.Op(NameOf(opType), opType, inputs, attributes);

    public Value Scalar(double value, ElementType type) => _gradients.Scalar(value, type);

    /// <summary>A number in the type of <paramref name="like"/>.</summary>
    public Value Scalar(double value, Value like) => _gradients.Scalar(value, like.Type);

    public Value Ints(params ReadOnlySpan<long> values) => _gradients.Ints(values);

    /// <summary>Zeros like the gradient of <paramref name="like"/>.</summary>
    public Value Zeros(Value like) => _gradients.Zeros(like, Build);

    public Value Cast(Value x, ElementType type) => x.Type == type ? x : Op("Cast", [x], Attribute.Of("to", (long)type));

    public Value Reshape(Value x, params long[] sizes)
    {
        if (x.Shape!.Sizes.SequenceEqual(sizes))
            return x;
        return sizes.Contains(0) ? Op("Reshape", [x, Ints(sizes)], Attribute.Of("allowzero", 1L)) : Op("Reshape", x, Ints(sizes));
    }

    public Value Expand(Value x, params long[] sizes) => x.Shape!.Sizes.SequenceEqual(sizes) ? x : Op("Expand", x, Ints(sizes));

    public Value Sum(Value x, IReadOnlyCollection<int> axes, bool keepsDims) => axes.Count == 0 ? x
        : Op("ReduceSum", [x, Ints([.. axes.Select(a => (long)a)])], Attribute.Of("keepdims", keepsDims ? 1L : 0L));

    public Value Mean(Value x, IReadOnlyCollection<int> axes) => axes.Count == 0 ? x
        : Op("ReduceMean", [x, Ints([.. axes.Select(a => (long)a)])], Attribute.Of("keepdims", 1L));

    /// <summary>The transpose of the last two axes.</summary>
    public Value Transposed(Value x)
    {
        var rank = x.Shape!.Rank;
        return Op("Transpose", [x], Attribute.Of("perm", [.. Enumerable.Range(0, rank - 2).Select(a => (long)a), rank - 1, rank - 2]));
    }

    /// <summary>Sums the axes that broadcasting added to <paramref name="shape"/> or stretched.</summary>
    public Value SumTo(Value x, Shape shape)
    {
        var (from, to) = (x.Shape!.Sizes, shape.Sizes);
        var added = from.Length - to.Length;
        var axes = Enumerable.Range(0, from.Length).Where(a => a < added || (to[a - added] == 1 && from[a] != 1)).ToList();
        return axes.TrueForAll(a => a < added) ? Sum(x, axes, keepsDims: false) : Reshape(Sum(x, axes, keepsDims: true), to);
    }

    /// <summary>The elements of an integer input that shapes what is computed.</summary>
    public long[] Constant(int input)
    {
        var value = In(input);
        return value.Integers() ?? throw Refused($"constants in input {input}",
            $"'{value.Name}', which is {(value.IsGraphInput ? "a graph input" : "computed")}", "Run fold-constants first.");
    }

    public PassException Refused(string expected, string found, string advice) =>
        new(PassOption.Kebab(nameof(BuildGradient)), Node, "forward", expected, found, advice);

    private static string NameOf(string opType) => opType.ToLowerInvariant();
}
