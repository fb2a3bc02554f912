using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Normalizations along the last axes. The statistics are computed again, in float32 where the input has 16 bits.</summary>
/// <remarks>
/// With n = (x - mean) r, r = 1 / sqrt(variance + epsilon), y = n scale + bias and g = dy scale:
/// dx = r (g - mean(g) - n mean(g n)), dscale = sum(dy n), dbias = sum(dy). [Ba et al. 2016] Without centring: no mean(g), and
/// the mean of x^2 in place of the variance. [Zhang and Sennrich 2019]
/// </remarks>
internal static class NormalizationGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["LayerNormalization"] = g => Normalize(g, isCentred: true),
        ["RMSNormalization"] = g => Normalize(g, isCentred: false),
        ["SimplifiedLayerNormalization"] = g => Normalize(g, isCentred: false),
    };

    private static void Normalize(NodeGradient g, bool isCentred)
    {
        if (g.DOf(1) is not null || g.DOf(2) is not null)
            throw g.Refused("a loss that depends on the first output alone", "one that depends on the statistics", "Compute them by nodes of their own.");
        var type = g.Y.Type is ElementType.Float16 or ElementType.BFloat16 ? ElementType.Float : g.Y.Type;
        var (x, dy) = (g.Cast(g.In(0), type), g.Cast(g.D, type));
        var rank = x.Shape!.Rank;
        var first = (int)(g.Node.Int("axis", -1) is var axis and < 0 ? axis + rank : g.Node.Int("axis", -1));
        int[] axes = [.. Enumerable.Range(first, rank - first)];

        if (isCentred)
            x = g.Op("Sub", x, g.Mean(x, axes));
        var variance = g.Op("Add", g.Mean(g.Op("Mul", x, x), axes), g.Scalar(g.Node.Float("epsilon", 1e-5f), type));
        var r = g.Op("Reciprocal", g.Op("Sqrt", variance));
        var n = g.Op("Mul", x, r);
        g.Add(0, () =>
        {
            var scaled = g.Op("Mul", dy, g.Cast(g.In(1), type));
            var along = g.Op("Mul", n, g.Mean(g.Op("Mul", scaled, n), axes));
            if (isCentred)
                scaled = g.Op("Sub", scaled, g.Mean(scaled, axes));
            return g.Cast(g.Op("Mul", g.Op("Sub", scaled, along), r), g.In(0).Type);
        });
        g.Add(1, () => g.Cast(g.SumTo(g.Op("Mul", dy, n), g.In(1).Shape!), g.In(1).Type));
        g.Add(2, () => g.Cast(g.SumTo(dy, g.In(2).Shape!), g.In(2).Type));
    }
}
