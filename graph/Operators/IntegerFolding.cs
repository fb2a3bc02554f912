using Halo.Ir;

namespace Halo.Operators;

/// <summary>The operators through which exporters compute shapes, on partly known integers.</summary>
internal static class IntegerFolding
{
    private static readonly Dictionary<string, Func<Node, IntegerData, IntegerTensor?>> Folds = new()
    {
        ["Shape"] = ShapeOf,
        ["Size"] = (n, _) => n.Input(0)?.Shape is { } shape ? IntegerTensor.Scalar(DimArithmetic.Product(shape)) : null,
        ["Identity"] = (n, d) => Input(n, d, 0),
        ["Cast"] = (n, d) =>
            n.Int("to", 0) is (int)ElementType.Int64 or (int)ElementType.Int32 or (int)ElementType.Bool ? Cast(Input(n, d, 0), n.Int("to", 0)) : null,
        ["Squeeze"] = (n, d) => Input(n, d, 0) is { Elements.Length: 1 } x ? IntegerTensor.Scalar(x.Elements[0]) : null,
        ["Unsqueeze"] = (n, d) => Input(n, d, 0) is { Rank: 0 } x ? IntegerTensor.List(x.Elements) : null,
        ["Reshape"] = (n, d) => Input(n, d, 0) is { } x && Input(n, d, 1) is { Elements.Length: <= 1 } to ? x with { Rank = to.Elements.Length } : null,
        ["Flatten"] = (_, _) => null,
        ["Concat"] = Concat,
        ["Gather"] = Gather,
        ["Slice"] = Slice,
        ["Expand"] = (n, d) => Input(n, d, 0) is { Elements.Length: 1 } x && Count(Input(n, d, 1)) is { } count
            ? IntegerTensor.List(Enumerable.Repeat(x.Elements[0], count)) : null,
        ["ConstantOfShape"] = ConstantOfShape,
        ["Range"] = Range,
        ["Add"] = Binary(DimArithmetic.Add),
        ["Sub"] = Binary(DimArithmetic.Subtract),
        ["Mul"] = Binary(DimArithmetic.Multiply),
        ["Div"] = Binary((a, b) => a.IsKnown && b.IsKnown && b.Size != 0 ? a.Size!.Value / b.Size!.Value : DimArithmetic.Quotient([a], [b])),
        ["Mod"] = Binary((a, b) => a.Size >= 0 && b.Size > 0 ? a.Size.Value % b.Size.Value : Dim.Unknown),
        ["Min"] = Binary((a, b) => a == b ? a : a.IsKnown && b.IsKnown ? Math.Min(a.Size!.Value, b.Size!.Value) : Dim.Unknown),
        ["Max"] = Binary((a, b) => a == b ? a : a.IsKnown && b.IsKnown ? Math.Max(a.Size!.Value, b.Size!.Value) : Dim.Unknown),
        ["Equal"] = Binary(Equal),
        ["Less"] = Binary((a, b) => a.IsKnown && b.IsKnown ? Truth(a.Size < b.Size) : Dim.Unknown),
        ["Greater"] = Binary((a, b) => a.IsKnown && b.IsKnown ? Truth(a.Size > b.Size) : Dim.Unknown),
        ["And"] = Binary((a, b) => a.Size == 0 || b.Size == 0 ? 0 : a.IsKnown && b.IsKnown ? 1 : Dim.Unknown),
        ["Or"] = Binary((a, b) => a.Size == 1 || b.Size == 1 ? 1 : a.IsKnown && b.IsKnown ? 0 : Dim.Unknown),
        ["Not"] = (n, d) => Unary(Input(n, d, 0), a => a.IsKnown ? Truth(a.Size == 0) : Dim.Unknown),
        ["Neg"] = (n, d) => Unary(Input(n, d, 0), a => a.IsKnown ? -a.Size!.Value : Dim.Unknown),
        ["Where"] = Where,
        ["ReduceProd"] = (n, d) => Reduce(n, Input(n, d, 0), DimArithmetic.Product),
        ["ReduceSum"] = (n, d) => Reduce(n, Input(n, d, 0), e => e.Aggregate(Dim.Of(0), DimArithmetic.Add)),
        ["ReduceMax"] = (n, d) => Reduce(n, Input(n, d, 0), e => Array.TrueForAll(e, x => x.IsKnown) ? e.Max(x => x.Size!.Value) : Dim.Unknown),
        ["ReduceMin"] = (n, d) => Reduce(n, Input(n, d, 0), e => Array.TrueForAll(e, x => x.IsKnown) ? e.Min(x => x.Size!.Value) : Dim.Unknown),
    };

    public static IntegerTensor? Fold(Node node, IntegerData data) => Folds.TryGetValue(node.OpType, out var fold) ? fold(node, data) : null;

    private static IntegerTensor? Input(Node node, IntegerData data, int index) => node.Input(index) is { } value ? data.Of(value) : null;

    private static Dim Truth(bool value) => value ? 1 : 0;

    /// <summary>A symbol is a size, so it never equals a negative number, unless something was taken off it.</summary>
    private static Dim Equal(Dim a, Dim b)
    {
        static bool IsSize(Dim d) => d.Symbol is not null && DimArithmetic.Offset(d) >= 0;
        if (a.IsKnown && b.IsKnown)
            return Truth(a == b);
        if (a.Symbol is not null && a == b)
            return 1;
        return (IsSize(a) && b.Size < 0) || (IsSize(b) && a.Size < 0) ? 0 : Dim.Unknown;
    }

    private static IntegerTensor? ShapeOf(Node node, IntegerData data)
    {
        if (node.Input(0)?.Shape is not { } shape)
            return null;
        var (start, end) = SourceOperators.ShapeRange(node, shape.Rank);
        return IntegerTensor.List(shape.Skip(start).Take(end - start));
    }

    private static IntegerTensor? Cast(IntegerTensor? x, long to) =>
        to == (long)ElementType.Bool ? Unary(x, a => a.IsKnown ? Truth(a.Size != 0) : Dim.Unknown) : x;

    private static IntegerTensor? Concat(Node node, IntegerData data)
    {
        var elements = new List<Dim>();
        foreach (var input in node.Inputs)
        {
            if (input is null || data.Of(input) is not { Rank: 1 } part)
                return null;
            elements.AddRange(part.Elements);
        }
        return IntegerTensor.List(elements);
    }

    private static IntegerTensor? Gather(Node node, IntegerData data)
    {
        if (Input(node, data, 0) is not { Rank: 1 } x || Input(node, data, 1) is not { } indices || node.Int("axis", 0) is not (0 or -1))
            return null;
        return Unary(indices,
            i => i.Size is { } at && at >= -x.Elements.Length && at < x.Elements.Length ? x.Elements[at < 0 ? at + x.Elements.Length : at] : Dim.Unknown);
    }

    private static IntegerTensor? Slice(Node node, IntegerData data)
    {
        if (Input(node, data, 0) is not { Rank: 1 } x)
            return null;
        long? At(int input, long? otherwise) => node.Input(input) is null ? otherwise
            : Input(node, data, input) is { Elements: [{ Size: { } number }] } ? number : null;
        if (At(1, null) is not { } start || At(2, null) is not { } end || At(4, 1) is not { } step || step == 0)
            return null;
        var (first, count) = SlicingOperators.Range(x.Elements.Length, start, end, step);
        return IntegerTensor.List(Enumerable.Range(0, (int)count).Select(i => x.Elements[first + (i * step)]));
    }

    private static int? Count(IntegerTensor? shape) => shape is { Elements: [{ Size: { } count and >= 0 and <= 64 }] } ? (int)count : null;

    private static IntegerTensor? ConstantOfShape(Node node, IntegerData data)
    {
        var value = node.Attributes.TryGetValue("value", out var a) ? IntegerData.Read(a.Tensor) : null;
        return value is { Elements.Length: 1 } && Count(Input(node, data, 0)) is { } count
            ? IntegerTensor.List(Enumerable.Repeat(value.Elements[0], count)) : null;
    }

    private static IntegerTensor? Range(Node node, IntegerData data)
    {
        if (Input(node, data, 0)?.Elements is not [{ Size: { } start }] || Input(node, data, 1)?.Elements is not [{ Size: { } limit }]
            || Input(node, data, 2)?.Elements is not [{ Size: { } delta and not 0 }])
        {
            return null;
        }
        var count = SourceOperators.RangeCount(start, limit, delta);
        return count > 64 ? null : IntegerTensor.List(Enumerable.Range(0, (int)count).Select(i => Dim.Of(start + (i * delta))));
    }

    private static IntegerTensor? Where(Node node, IntegerData data)
    {
        if (Input(node, data, 0) is not { } condition || Input(node, data, 1) is not { } a || Input(node, data, 2) is not { } b)
            return null;
        var count = new[] { condition, a, b }.Max(t => t.Elements.Length);
        Dim At(IntegerTensor t, int i) => t.Elements[t.Elements.Length == 1 ? 0 : i];
        if (!new[] { condition, a, b }.All(t => t.Elements.Length == 1 || t.Elements.Length == count))
            return null;
        return new IntegerTensor([.. Enumerable.Range(0, count).Select(i => At(condition, i).Size switch
        {
            null => At(a, i) == At(b, i) ? At(a, i) : Dim.Unknown,
            0 => At(b, i),
            _ => At(a, i),
        })], Math.Max(condition.Rank, Math.Max(a.Rank, b.Rank)));
    }

    private static IntegerTensor? Unary(IntegerTensor? x, Converter<Dim, Dim> f) => x is null ? null : x with { Elements = Array.ConvertAll(x.Elements, f) };

    private static Func<Node, IntegerData, IntegerTensor?> Binary(Func<Dim, Dim, Dim> f) => (node, data) =>
    {
        if (Input(node, data, 0) is not { } a || Input(node, data, 1) is not { } b || node.Inputs.Count > 2)
            return null;
        var count = a.Elements.Length == 1 ? b.Elements.Length : a.Elements.Length;
        if (b.Elements.Length != count && b.Elements.Length != 1)
            return null;
        return new IntegerTensor([.. Enumerable.Range(0, count)
            .Select(i => f(a.Elements[a.Elements.Length == 1 ? 0 : i], b.Elements[b.Elements.Length == 1 ? 0 : i]))],
            Math.Max(a.Rank, b.Rank));
    };

    /// <summary>The reduction of a list to one element, over its one axis.</summary>
    private static IntegerTensor? Reduce(Node node, IntegerTensor? x, Func<Dim[], Dim> f) =>
        x is not { Rank: 1, Elements.Length: > 0 } || node.Int("noop_with_empty_axes", 0) == 1
        ? null
        : node.Int("keepdims", 1) == 1 ? IntegerTensor.List([f(x.Elements)]) : IntegerTensor.Scalar(f(x.Elements));
}
