using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>A function while it is written: untyped inputs, constants as nodes, outputs by name.</summary>
public sealed class FunctionBody
{
    public FunctionBody(params ReadOnlySpan<string> inputs)
    {
        foreach (var input in inputs)
            Graph.AddInput(new Value(input));
    }

    public Graph Graph { get; } = new("body");

    /// <summary>Attributes a call must give.</summary>
    public IReadOnlyList<string> AttributeNames { get; init; } = [];

    /// <summary>Attributes with a default.</summary>
    public IReadOnlyList<Attribute> AttributeDefaults { get; init; } = [];

    /// <summary>Begins the names of what is made from then on, where parts of other bodies are written into one.</summary>
    public string Prefix { get; set; } = "";

    public Value Input(int index) => Graph.Inputs[index];

    /// <summary>Makes a node; <paramref name="name"/> is its and its output's name.</summary>
    public Value Op(string name, string opType, ReadOnlySpan<Value?> inputs, params ReadOnlySpan<Attribute> attributes) =>
        Append(opType, inputs, [new Value(Prefix + name)], attributes).Output;

    public Value Constant(string name, Tensor tensor) => Op(name, "Constant", [], Attribute.Of("value", tensor));

    public Value Cast(string name, Value x, ElementType to) => Op(name, "Cast", [x], Attribute.Of("to", (long)to));

    /// <summary><paramref name="x"/> in float32: itself, or cast from a type of 16 bits.</summary>
    public Value ToFloat(string name, Value x, ElementType type) => type == ElementType.Float ? x : Cast(name, x, ElementType.Float);

    /// <summary>A float32 value rounded to <paramref name="type"/>.</summary>
    public Value FromFloat(string name, Value y, ElementType type) => type == ElementType.Float ? y : Cast(name, y, type);

    /// <summary>max |y| of <paramref name="y"/> of type <paramref name="type"/>, or NaN where an element is no finite number.</summary>
    /// <remarks>Two reductions, which read y twice, are faster than Abs and one, which write it as well. They skip a NaN; the sum of 0 y does not.</remarks>
    public Value AbsoluteMax(string name, Value y, ElementType type)
    {
        var x = ToFloat(name + ".float", y, type);
        var max = Op(name + ".max", "ReduceMax", [x], Attribute.Of("keepdims", 0L));
        var min = Op(name + ".minusMin", "Neg", [Op(name + ".min", "ReduceMin", [x], Attribute.Of("keepdims", 0L))]);
        var zeros = Op(name + ".zeros", "Mul", [x, Constant(name + ".zero", Tensor.Scalar(0f))]);
        return Op(name, "Add", [Op(name + ".numbers", "Max", [max, min]), Op(name + ".nan", "ReduceSum", [zeros], Attribute.Of("keepdims", 0L))]);
    }

    /// <summary>Pieces of the given sizes, called <c>name0</c>, <c>name1</c> and so on.</summary>
    public IReadOnlyList<Value> Split(string name, Value x, long axis, ReadOnlySpan<long> sizes) =>
        Append("Split", [x, Constant(name + ".sizes", Tensor.Int64s(sizes))], [.. Enumerable.Range(0, sizes.Length).Select(i => new Value($"{name}{i}"))],
            Attribute.Of("axis", axis)).Outputs;

    /// <summary>Makes <paramref name="value"/> the next output, called <paramref name="name"/>.</summary>
    public FunctionBody Output(string name, Value value)
    {
        Graph.Rename(value, name);
        Graph.AddOutput(value);
        return this;
    }

    /// <summary>No shape rule runs: a body has no types, and its attributes may be references.</summary>
    private Node Append(string opType, ReadOnlySpan<Value?> inputs, Value[] outputs, params ReadOnlySpan<Attribute> attributes) =>
        Graph.Append(new Node(opType, inputs.ToArray(), outputs, name: outputs[0].Name).With(attributes));
}
