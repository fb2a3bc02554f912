using Halo.Ir;

namespace Halo.Operators;

/// <summary>Normalizations, whose statistics are outputs of their own.</summary>
internal static class NormalizationOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "LayerNormalization") { Shapes = LayerNormalization, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Norm },
        new("", "SimplifiedLayerNormalization") { Shapes = LayerNormalization, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Norm },
        new("com.microsoft", "SkipSimplifiedLayerNormalization")
        {
            Shapes = SumAndNorm, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Norm,
        },
        new("", "RMSNormalization") { Shapes = ElementwiseOperators.LikeFirst, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Norm },
        .. new[] { "GroupNormalization", "InstanceNormalization", "LpNormalization", "MeanVarianceNormalization" }
            .Select(op => new OperatorFacts("", op) { Shapes = ElementwiseOperators.LikeFirst }),
    ];

    private static void LayerNormalization(NodeInference i)
    {
        ElementwiseOperators.LikeFirst(i);
        var stash = (ElementType)i.Node.Int("stash_type", (long)ElementType.Float);
        Shape? statistics = null;
        if (i.Shape(0) is { } x)
        {
            var axis = i.Axis(i.Node.Int("axis", -1), x.Rank);
            statistics = new Shape(x.Select((d, a) => a < axis ? d : 1));
        }
        i.Set(1, stash, statistics);
        i.Set(2, stash, statistics);
    }

    /// <summary>The norm of a sum over its last axis, statistics, and behind them the sum.</summary>
    private static void SumAndNorm(NodeInference i)
    {
        ElementwiseOperators.LikeFirst(i);
        var statistics = i.Shape(0) is { Rank: > 0 } x ? new Shape([.. x.SkipLast(1), 1]) : null;
        i.Set(1, ElementType.Float, statistics);
        i.Set(2, ElementType.Float, statistics);
        i.Set(3, i.Type(0), i.Shape(0));
    }
}
