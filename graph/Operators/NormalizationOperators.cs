using Halo.Ir;

namespace Halo.Operators;

/// <summary>Normalizations, whose statistics are outputs of their own.</summary>
internal static class NormalizationOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "LayerNormalization") { Shapes = LayerNormalization, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Norm },
        new("", "SimplifiedLayerNormalization") { Shapes = LayerNormalization, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Norm },
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
}
