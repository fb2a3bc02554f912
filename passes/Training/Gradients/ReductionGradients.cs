using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Operators that fold axes away.</summary>
internal static class ReductionGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["ReduceSum"] = Rule((g, d, y) => d),
        ["ReduceMean"] = Rule((g, d, y) =>
        {
            var (all, left) = (g.In(0).Shape!.ElementCount!.Value, g.Y.Shape!.ElementCount!.Value);
            return all == 0 ? d : g.Op("Mul", d, g.Scalar((double)left / all, d));
        }),
        ["ReduceMax"] = Rule(Extremum),
        ["ReduceMin"] = Rule(Extremum),
        ["ReduceSumSquare"] = Rule((g, d, y) => g.Op("Mul", g.Op("Mul", d, g.Scalar(2, d)), g.In(0))),
        ["ReduceL1"] = Rule((g, d, y) => g.Op("Mul", d, g.Op("Sign", g.In(0)))),
        ["ReduceL2"] = Rule((g, d, y) =>
        {
            // A norm of 0 has no slope; 0 is a subgradient, as in PyTorch.
            var norm = y();
            return g.Op("Mul", g.In(0), g.Op("Where", g.Op("Equal", norm, g.Scalar(0, norm)), g.Scalar(0, d), g.Op("Div", d, norm)));
        }),
        ["ReduceLogSum"] = Rule((g, d, y) => g.Op("Mul", d, g.Op("Exp", g.Op("Neg", y())))),
        ["ReduceLogSumExp"] = Rule((g, d, y) => g.Op("Mul", d, g.Op("Exp", g.Op("Sub", g.In(0), y())))),
    };

    /// <summary>Elements that are equal share the gradient, as in PyTorch.</summary>
    private static Value Extremum(NodeGradient g, Value d, Func<Value> y)
    {
        var hits = g.Cast(g.Op("Equal", g.In(0), y()), d.Type);
        return g.Op("Mul", hits, g.Op("Div", d, g.Sum(hits, Axes(g), keepsDims: true)));
    }

    /// <summary>A rule that is given the gradient and the output with the folded axes kept at size 1.</summary>
    private static GradientRule Rule(Func<NodeGradient, Value, Func<Value>, Value> gradient) => g => g.Add(0, () =>
    {
        var folded = Axes(g);
        var kept = g.In(0).Shape!.Sizes.Select((size, axis) => folded.Contains(axis) ? 1 : size).ToArray();
        return g.Expand(gradient(g, g.Reshape(g.D, kept), () => g.Reshape(g.Y, kept)), g.In(0).Shape!.Sizes);
    });

    /// <summary>The folded axes; none are all of them, unless the node says otherwise.</summary>
    private static IReadOnlyList<int> Axes(NodeGradient g)
    {
        var rank = g.In(0).Shape!.Rank;
        var axes = g.Node.Ints("axes") ?? (g.Node.Input(1) is null ? [] : g.Constant(1));
        if (axes.Count == 0)
            return g.Node.Int("noop_with_empty_axes", 0) == 1 ? [] : [.. Enumerable.Range(0, rank)];
        return [.. axes.Select(a => (int)(a < 0 ? a + rank : a))];
    }
}
