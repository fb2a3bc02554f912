using Halo.Ir;

namespace Halo.Analysis.Shapes;

/// <summary>Operators that fold axes away, losses among them.</summary>
internal static class ReductionShapes
{
    public static Dictionary<string, InferenceRule> Rules { get; } = new()
    {
        ["ArgMax"] = Arg,
        ["ArgMin"] = Arg,
        ["SoftmaxCrossEntropyLoss"] = i =>
        {
            Loss(i);
            i.Set(1, i.Type(0), i.Shape(0));
        },
        ["NegativeLogLikelihoodLoss"] = Loss,
    };

    static ReductionShapes()
    {
        foreach (var kind in new[] { "Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare" })
            Rules[$"Reduce{kind}"] = Reduce;
    }

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
