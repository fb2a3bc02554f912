namespace Halo.Serialization;

/// <summary>Counts a model's messages before they become objects of some hundred bytes each: an empty one takes two bytes of a file.</summary>
internal sealed class MessageCount
{
    /// <summary>A training graph of 405B parameters has 60 000 nodes, and some 20 messages for each.</summary>
    private const int Max = 1 << 22;

    /// <summary>Deeper ones are refused when they are parsed.</summary>
    private const int MaxDepth = 100;

    private int _count;

    /// <summary>The messages of onnx.proto that hold others.</summary>
    public enum Kind
    {
        Leaf,
        Model,
        Graph,
        Node,
        Attribute,
        Tensor,
        Info,
        Type,
        TensorType,
        Shape,
        Function,
    }

    /// <summary>Adds a message and all in it.</summary>
    /// <exception cref="InvalidDataException">There are more than <see cref="Max"/>, or the bytes are no message.</exception>
    public void Add(ReadOnlySpan<byte> message, Kind kind, int depth = 0)
    {
        if (++_count > Max)
            throw new InvalidDataException($"more than {Max} nodes, attributes, values and sizes");
        if (kind == Kind.Leaf || depth > MaxDepth)
            return;
        var fields = new WireScanner(message);
        while (fields.Next())
        {
            if (fields.IsLengthDelimited && Inside(kind, fields.Field) is { } inner)
                Add(message[fields.Content], inner, depth + 1);
        }
    }

    private static Kind? Inside(Kind kind, int field) => (kind, field) switch
    {
        (Kind.Model, 8 or 14 or 20 or 26) => Kind.Leaf,
        (Kind.Model, 25) => Kind.Function,
        (Kind.Graph, 1) or (Kind.Function, 7) => Kind.Node,
        (Kind.Graph, 5) or (Kind.Attribute, 5 or 10) => Kind.Tensor,
        (Kind.Graph, 11 or 12 or 13) or (Kind.Function, 12) => Kind.Info,
        (Kind.Graph, 14 or 15 or 16) or (Kind.Function, 9 or 14) or (Kind.Node, 9 or 10) or (Kind.Tensor, 13 or 16) or (Kind.Info, 4) => Kind.Leaf,
        (Kind.Node, 5) or (Kind.Function, 11) => Kind.Attribute,
        (Kind.Attribute, 6 or 11) => Kind.Graph,
        (Kind.Attribute, 14 or 15) or (Kind.Info, 2) => Kind.Type,
        (Kind.Attribute, 22 or 23) or (Kind.Shape, 1) => Kind.Leaf,
        (Kind.Type, 1 or 8) => Kind.TensorType,
        (Kind.Type, _) => Kind.Leaf,
        (Kind.TensorType, 2) => Kind.Shape,
        _ => null,
    };
}
