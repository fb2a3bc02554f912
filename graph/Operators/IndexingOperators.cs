using Halo.Ir;

namespace Halo.Operators;

/// <summary>Operators that take or put elements by index.</summary>
internal static class IndexingOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "Gather")
        {
            Shapes = Gather,
            FreeSizes = x => x.OnlyFree(1) && x.Node.Int("axis", 0) == 0 ? [.. x.Sizes[1]!, .. x.Sizes[0]!.Skip(1)] : null,
        },
        new("", "GatherElements") { Shapes = i => i.Set(i.Type(0), i.Shape(1)) },
        new("", "GatherND") { Shapes = GatherND },
        new("", "ScatterND") { Shapes = ElementwiseOperators.LikeFirst },
        new("", "ScatterElements") { Shapes = ElementwiseOperators.LikeFirst },
        new("", "TensorScatter") { Shapes = ElementwiseOperators.LikeFirst },
        new("", "OneHot") { Shapes = OneHot },
        new("", "NonZero")
        {
            Shapes = i => i.Set(ElementType.Int64, i.Shape(0) is { } x ? new Shape([x.Rank, Dim.Unknown]) : null),
            EndsGradient = true,
        },
        new("", "TopK") { Shapes = TopK, IsShapeInput = input => input == 1 },
        new("", "Compress")
        {
            Shapes = i => i.Set(i.Type(0), i.Node.Attributes.ContainsKey("axis") && i.Shape(0) is { } x
                ? new Shape(x.Select((d, axis) => axis == i.Axis(i.Node.Int("axis", 0), x.Rank) ? Dim.Unknown : d))
                : new Shape([Dim.Unknown])),
        },
    ];

    private static void Gather(NodeInference i)
    {
        if (i.Shape(0) is not { } x || i.Shape(1) is not { } indices)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var axis = i.Axis(i.Node.Int("axis", 0), x.Rank);
        i.Set(i.Type(0), new Shape([.. x.Take(axis), .. indices, .. x.Skip(axis + 1)]));
    }

    /// <summary>The last axis of the indices, of size n, indexes n axes behind the batch axes.</summary>
    private static void GatherND(NodeInference i)
    {
        var batch = (int)i.Node.Int("batch_dims", 0);
        i.Set(i.Type(0), i.Shape(0) is { } x && i.Shape(1) is { Rank: > 0 } indices && indices[^1].Size is { } n
            ? new Shape([.. indices.Take(indices.Rank - 1), .. x.Skip(batch + (int)n)])
            : null);
    }

    private static void OneHot(NodeInference i)
    {
        if (i.Shape(0) is not { } indices)
        {
            i.Set(i.Type(2), null);
            return;
        }
        var axis = i.Axis(i.Node.Int("axis", -1), indices.Rank + 1);
        i.Set(i.Type(2), new Shape([.. indices.Take(axis), i.Elements(1) is [var depth] ? depth : Dim.Unknown, .. indices.Skip(axis)]));
    }

    private static void TopK(NodeInference i)
    {
        Shape? shape = null;
        if (i.Shape(0) is { } x)
        {
            var axis = i.Axis(i.Node.Int("axis", -1), x.Rank);
            shape = new Shape([.. x.Take(axis), i.Elements(1) is [var k] ? k : Dim.Unknown, .. x.Skip(axis + 1)]);
        }
        i.Set(0, i.Type(0), shape);
        i.Set(1, ElementType.Int64, shape);
    }
}
