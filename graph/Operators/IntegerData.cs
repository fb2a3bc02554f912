using Halo.Ir;

namespace Halo.Operators;

/// <summary>What a small integer or boolean tensor holds: each element a number, a symbol or unknown. Booleans are 0 and 1.</summary>
/// <param name="Elements">All elements in order.</param>
/// <param name="Rank">0 or 1.</param>
internal sealed record IntegerTensor(Dim[] Elements, int Rank)
{
    public static IntegerTensor Scalar(Dim value) => new([value], 0);

    public static IntegerTensor List(IEnumerable<Dim> values) => new([.. values], 1);
}

/// <summary>Folds the integer tensors that describe shapes (Shape, Gather, Concat, Mul ...), which a rule asks for when it needs them.</summary>
/// <remarks>Each value is folded once and remembered here, beside the graph. Chains deeper than <see cref="MaxDepth"/> are given up.</remarks>
internal sealed class IntegerData
{
    private const int MaxElements = 64;
    private const int MaxDepth = 200;

    private readonly Dictionary<Value, IntegerTensor?> _known = [];
    private int _depth;

    /// <summary>The content of <paramref name="value"/>, or null if nothing is known of it.</summary>
    public IntegerTensor? Of(Value value)
    {
        if (value.Type is not (ElementType.Int64 or ElementType.Int32 or ElementType.Bool or ElementType.Undefined) || value.Shape?.Rank > 1)
            return null;
        if (_known.TryGetValue(value, out var known))
            return known;
        if (_depth >= MaxDepth)
            return null;
        _depth++;
        var tensor = value.Constant is { } constant ? Read(constant)
            : value.Producer is { } node && node.IsStandard ? IntegerFolding.Fold(node, this)
            : null;
        _depth--;
        if (tensor is null && value.Shape is { Rank: 1 } shape && shape[0].Size is { } count and <= MaxElements)
            tensor = IntegerTensor.List(Enumerable.Repeat(Dim.Unknown, (int)count));
        if (tensor?.Elements.Length > MaxElements)
            tensor = null;
        return _known[value] = tensor;
    }

    public static IntegerTensor? Read(Tensor tensor)
    {
        if (tensor.Sizes.Count > 1 || tensor.ElementCount > MaxElements)
            return null;
        var elements = tensor.Type switch
        {
            ElementType.Int64 or ElementType.Int32 => tensor.ToInt64s(),
            ElementType.Bool => Array.ConvertAll(tensor.ToBytes(), b => (long)b),
            _ => null,
        };
        return elements is null ? null : new IntegerTensor(Array.ConvertAll(elements, Dim.Of), tensor.Sizes.Count);
    }
}
