using Halo.Ir;

namespace Halo.Analysis.Shapes;

/// <summary>Normalizations, whose statistics are outputs of their own.</summary>
internal static class NormalizationShapes
{
    public static Dictionary<string, InferenceRule> Rules { get; } = new()
    {
        ["LayerNormalization"] = LayerNormalization,
        ["SimplifiedLayerNormalization"] = LayerNormalization,
        ["RMSNormalization"] = ElementwiseShapes.LikeFirst,
        ["GroupNormalization"] = ElementwiseShapes.LikeFirst,
        ["InstanceNormalization"] = ElementwiseShapes.LikeFirst,
        ["LpNormalization"] = ElementwiseShapes.LikeFirst,
        ["MeanVarianceNormalization"] = ElementwiseShapes.LikeFirst,
    };

    private static void LayerNormalization(NodeInference i)
    {
        ElementwiseShapes.LikeFirst(i);
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
