using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Losses of class labels: scores (N, C, ...), labels (N, ...).</summary>
internal static class LossGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["SoftmaxCrossEntropyLoss"] = g => g.Add(0, () =>
        {
            if (g.DOf(1) is not null)
                throw g.Refused("a loss that depends on the first output alone", "one that depends on log_prob", "Compute it by a LogSoftmax of its own.");
            // p - 1 at the label and p elsewhere, times what the row counts.
            var (row, column) = Rows(g);
            var p = g.Op("Softmax", [g.In(0)], Attribute.Of("axis", 1L));
            return AtLabels(g, g.Op("Mul", p, row), column, row);
        }),
        ["NegativeLogLikelihoodLoss"] = g => g.Add(0, () =>
        {
            var (row, column) = Rows(g);
            return AtLabels(g, g.Zeros(g.In(0)), column, row);
        }),
    };

    private static Value AtLabels(NodeGradient g, Value start, Value column, Value row) => g.Op("ScatterElements",
        [start, column, g.Op("Neg", row)], Attribute.Of("axis", 1L), Attribute.Of("reduction", "add"));

    /// <summary>What each row counts, and its label, with an axis of size 1 for the classes. Ignored rows count 0, under label 0.</summary>
    private static (Value Row, Value Column) Rows(NodeGradient g)
    {
        if (g.Node.Input(2) is not null)
            throw g.Refused("classes of one weight", "an input of weights", "Leave the weights out.");
        var (scores, labels, reduction) = (g.In(0), g.In(1), g.Node.String("reduction", "mean"));
        var sizes = scores.Shape!.Sizes;
        long[] kept = [sizes[0], 1, .. sizes.Skip(2)];
        Value? counts = null;
        if (g.Node.Attributes.ContainsKey("ignore_index"))
        {
            counts = g.Op("Not", g.Op("Equal", labels, g.Scalar(g.Node.Int("ignore_index", 0), ElementType.Int64)));
            labels = g.Op("Where", counts, labels, g.Scalar(0, ElementType.Int64));
        }
        var d = g.D;
        if (reduction == "mean")
        {
            var count = counts is null ? g.Scalar(labels.Shape!.ElementCount!.Value, d)
                : g.Sum(g.Cast(counts, d.Type), [.. Enumerable.Range(0, labels.Shape!.Rank)], keepsDims: false);
            d = g.Op("Div", d, count);
        }
        d = counts is null ? g.Expand(d, labels.Shape!.Sizes) : g.Op("Where", counts, d, g.Scalar(0, d));
        return (g.Reshape(d, kept), g.Reshape(labels, kept));
    }
}
