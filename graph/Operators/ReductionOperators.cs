using Halo.Ir;

namespace Halo.Operators;

/// <summary>Operators that fold axes away, losses among them.</summary>
internal static class ReductionOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        .. Reductions("Max").Select(f => f with { Recompute = RecomputeKind.Elementwise }),
        .. Reductions("Min"),
        .. Reductions("Sum", "Mean").Select(f => f with { Precision = PrecisionClass.Wide, Recompute = RecomputeKind.Elementwise }),
        .. Reductions("Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare").Select(f => f with { Precision = PrecisionClass.Wide }),
        new("", "ArgMax") { Shapes = Arg, EndsGradient = true },
        new("", "ArgMin") { Shapes = Arg, EndsGradient = true },
        new("", "SoftmaxCrossEntropyLoss")
        {
            Shapes = i =>
            {
                Loss(i);
                i.Set(1, i.Type(0), i.Shape(0));
            },
            Precision = PrecisionClass.Wide,
        },
        new("", "NegativeLogLikelihoodLoss") { Shapes = Loss, Precision = PrecisionClass.Wide },
    ];

    private static IEnumerable<OperatorFacts> Reductions(params string[] kinds) =>
        kinds.Select(kind => new OperatorFacts("", $"Reduce{kind}") { Shapes = Reduce, IsShapeInput = input => input == 1 });


    /// <summary>Axes are an attribute up to opset 17 (ReduceSum: 12) and an input from there on; no axes means all of them.</summary>
    private static void Reduce(NodeInference i)
    {
        var axes = i.NumbersOrAttribute(1, "axes", out var isGiven);
        var keepsDims = i.Node.Int("keepdims", 1) == 1;
        if (i.Shape(0) is not { } x)
        {
            i.Set(i.Type(0), isGiven || keepsDims ? null : Shape.Scalar);
            return;
        }
        if (isGiven && axes is null)
        {
            i.Set(i.Type(0), keepsDims ? new Shape(x.Select(_ => Dim.Unknown)) : null);
            return;
        }
        if (axes is null or [])
        {
            if (i.Node.Int("noop_with_empty_axes", 0) == 1)
            {
                i.Set(i.Type(0), x);
                return;
            }
            axes = [.. Enumerable.Range(0, x.Rank).Select(a => (long)a)];
        }
        i.Set(i.Type(0), Without(i, x, axes, keepsDims));
    }

    private static void Arg(NodeInference i) =>
        i.Set(ElementType.Int64, i.Shape(0) is { } x ? Without(i, x, [i.Node.Int("axis", 0)], i.Node.Int("keepdims", 1) == 1) : null);

    private static Shape Without(NodeInference i, Shape x, long[] axes, bool keepsDims)
    {
        var folded = axes.Select(a => i.Axis(a, x.Rank)).ToHashSet();
        return new Shape(x.Select((d, axis) => folded.Contains(axis) ? 1 : d).Where((_, axis) => keepsDims || !folded.Contains(axis)));
    }

    private static void Loss(NodeInference i) => i.Set(i.Type(0), i.Node.String("reduction", "mean") == "none" ? i.Shape(1) : Shape.Scalar);
}
