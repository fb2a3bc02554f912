using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>A function while it is written: untyped inputs, constants as nodes, outputs by name.</summary>
public sealed class FunctionBody
{
    private readonly GraphBuilder _build;

    public FunctionBody(params ReadOnlySpan<string> inputs)
    {
        _build = GraphBuilder.AtEnd(Graph);
        foreach (var input in inputs)
            Graph.AddInput(new Value(input));
    }

    public Graph Graph { get; } = new("body");

    /// <summary>Attributes a call must give.</summary>
    public IReadOnlyList<string> AttributeNames { get; init; } = [];

    /// <summary>Attributes with a default.</summary>
    public IReadOnlyList<Attribute> AttributeDefaults { get; init; } = [];

    public Value Input(int index) => Graph.Inputs[index];

    /// <summary>Makes a node; <paramref name="name"/> is its and its output's name.</summary>
    public Value Op(string name, string opType, ReadOnlySpan<Value?> inputs, params ReadOnlySpan<Attribute> attributes) =>
        _build.Op(name, opType, inputs, attributes);

    public Value Constant(string name, Tensor tensor) => _build.Op(name, "Constant", [], Attribute.Of("value", tensor));

    public Value Cast(string name, Value x, ElementType to) => _build.Op(name, "Cast", [x], Attribute.Of("to", (long)to));

    public IReadOnlyList<Value> Split(string name, Value x, long axis, ReadOnlySpan<long> sizes) =>
        _build.Node(name, "Split", [x, Constant(name + ".sizes", Tensor.Int64s(sizes))], sizes.Length, "", Attribute.Of("axis", axis)).Outputs;

    /// <summary>Makes <paramref name="value"/> the next output, called <paramref name="name"/>.</summary>
    public FunctionBody Output(string name, Value value)
    {
        Graph.Rename(value, name);
        Graph.AddOutput(value);
        return this;
    }
}
