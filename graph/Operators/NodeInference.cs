using Halo.Ir;

namespace Halo.Operators;

/// <summary>One node as its rule sees it: what is known of the inputs, and where the outputs are set.</summary>
public sealed class NodeInference
{
    private readonly Node _node;
    private readonly IntegerData _data;
    private readonly bool _keepsDeclared;

    internal NodeInference(Node node, IntegerData data, bool keepsDeclared) => (_node, _data, _keepsDeclared) = (node, data, keepsDeclared);

    public Node Node => _node;

    public Shape? Shape(int input) => _node.Input(input)?.Shape;

    public ElementType Type(int input) => _node.Input(input)?.Type ?? ElementType.Undefined;

    /// <summary>The elements of an integer input, each a number, a symbol or unknown; null if not even their count is known.</summary>
    public Dim[]? Elements(int input) => _node.Input(input) is { } value ? _data.Of(value)?.Elements : null;

    /// <summary>The elements of an integer input, if all are numbers.</summary>
    public long[]? Numbers(int input) => Elements(input) is { } e && Array.TrueForAll(e, d => d.IsKnown) ? Array.ConvertAll(e, d => d.Size!.Value) : null;

    /// <summary>Axes or sizes: a list attribute up to some opset, an input from there on.</summary>
    /// <returns>Null with <paramref name="isGiven"/> true if the input is there and not constant.</returns>
    public long[]? NumbersOrAttribute(int input, string attribute, out bool isGiven)
    {
        var ints = _node.Ints(attribute);
        isGiven = ints is not null || _node.Input(input) is not null;
        return ints is not null ? [.. ints] : Numbers(input);
    }

    public int Axis(long axis, int rank) =>
        axis >= -rank && axis < rank ? (int)(axis < 0 ? axis + rank : axis) : throw Error($"an axis in [{-rank}, {rank - 1}]", $"{axis}");

    public void Set(ElementType type, Shape? shape) => Set(0, type, shape);

    /// <summary>Sets an output, if the node has it.</summary>
    public void Set(int output, ElementType type, Shape? shape)
    {
        if (output < _node.Outputs.Count)
            Merge(_node.Outputs[output], type, shape);
    }

    /// <summary>Applies a rule that sets the outputs itself.</summary>
    public void Call(Action<Node> rule)
    {
        var declared = _node.Outputs.Select(o => (o.Type, o.Shape)).ToArray();
        rule(_node);
        for (var i = 0; i < declared.Length; i++)
        {
            var (type, shape) = (_node.Outputs[i].Type, _node.Outputs[i].Shape);
            (_node.Outputs[i].Type, _node.Outputs[i].Shape) = declared[i];
            Merge(_node.Outputs[i], type, shape);
        }
    }

    public HaloException Error(string expected, string found, Exception? inner = null) => new("infer-shapes", _node.ToString(), expected, found,
        "Correct the graph there; what is declared must agree with what the operators compute.", inner);

    private void Merge(Value value, ElementType type, Shape? shape)
    {
        if (type != ElementType.Undefined && value.Type != ElementType.Undefined && value.Type != type && _keepsDeclared)
            throw Error($"'{value.Name}' of type {value.Type.Name()}, as declared", type.Name());
        if (type != ElementType.Undefined)
            value.Type = type;
        if (shape is null)
            return;
        if (value.Shape is not { } declared || (!_keepsDeclared && declared.Rank != shape.Rank))
        {
            value.Shape = shape;
            return;
        }
        if (declared.Rank != shape.Rank)
            throw Error($"'{value.Name}' of shape {declared}, as declared", shape.ToString());
        var dims = new Dim[shape.Rank];
        for (var i = 0; i < dims.Length; i++)
        {
            if (_keepsDeclared && declared[i].IsKnown && shape[i].IsKnown && declared[i] != shape[i])
                throw Error($"'{value.Name}' of shape {declared}, as declared", shape.ToString());
            dims[i] = _keepsDeclared ? MoreKnown(declared[i], shape[i]) : MoreKnown(shape[i], declared[i]);
        }
        value.Shape = declared.SequenceEqual(dims) ? declared : new Shape(dims);
    }

    /// <summary>A number before a symbol before nothing; <paramref name="first"/> among equals.</summary>
    private static Dim MoreKnown(Dim first, Dim second) =>
        first.IsKnown ? first : second.IsKnown ? second : first.Symbol is not null ? first : second;
}
