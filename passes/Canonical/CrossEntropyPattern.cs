using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>The mean negative log-likelihood of labels (N) under logits (N, V): SoftmaxCrossEntropyLoss, NegativeLogLikelihoodLoss, or its parts.</summary>
/// <remarks>
/// The parts are those of PyTorch's decomposition: LogSoftmax, the label's entry by GatherElements, 0 in ignored rows, the sum over the number of
/// rows that count.
/// </remarks>
internal sealed class CrossEntropyPattern() : CanonicalPattern(nameof(CrossEntropy))
{
    public override bool IsCandidate(Node node) => node.Is("SoftmaxCrossEntropyLoss") || node.Is("LogSoftmax");

    public override string? Rewrite(CanonicalGraph graph, Node candidate)
    {
        if (candidate.Is("SoftmaxCrossEntropyLoss"))
        {
            return candidate.Outputs.Skip(1).Any(o => o.Uses.Count > 0 || o.IsGraphOutput) ? "its log-probabilities are read"
                : Loss(graph, candidate, candidate.Inputs[0]!, candidate);
        }
        if (candidate.Output.Shape is not { Rank: 2 } || candidate.Int("axis", -1) is not (-1 or 1))
            return "it is not along the last axis of (N, V)";
        return Match.OnlyUser(candidate.Output, "NegativeLogLikelihoodLoss") is { } loss ? Loss(graph, loss, candidate.Inputs[0]!, loss)
            : Decomposed(graph, candidate);
    }

    private string? Loss(CanonicalGraph graph, Node root, Value logits, Node loss)
    {
        if (loss.String("reduction", "mean") != "mean" || loss.Input(2) is not null)
            return "it is no mean, or has weights for classes";
        return Put(graph, root, logits, loss.Inputs[1]!, loss.Int("ignore_index", TrainingNames.IgnoredLabel));
    }

    private string? Decomposed(CanonicalGraph graph, Node logSoftmax)
    {
        if (Match.OnlyUser(logSoftmax.Output, "GatherElements") is not { } gather || gather.Inputs[0] != logSoftmax.Output || gather.Int("axis", 0) is not (1 or -1))
            return "what reads it is not the label's entry of each row alone";
        if (Labels(gather.Inputs[1]!) is not { } labels)
            return "the entries taken are not those of labels, with another in ignored rows";
        var losses = gather.Output;
        while (losses.OnlyUser is { } view && (view.Is("Squeeze") || view.Is("Reshape")) && view.Inputs[0] == losses)
            losses = view.Output;
        if (Match.OnlyUser(losses, "Neg") is not { } negated || losses.Shape is not { Rank: 1 })
            return "the entries are not negated";
        if (Match.OnlyUser(negated.Output, "Where") is not { } counted || Ignored(counted.Inputs[0]!) is not { } rows || rows != labels
            || counted.Inputs[1] != negated.Output || counted.Inputs[2]?.Number() != 0)
            return "ignored rows do not become 0";
        if (Match.OnlyUser(counted.Output, "ReduceSum") is not { } sum || !SumsAll(sum)
            || Match.OnlyUser(sum.Output, "Div") is not { } mean || mean.Inputs[0] != sum.Output)
            return "the rows are not summed and divided by a number";
        return Counts(mean.Inputs[1]!) == labels
            ? Put(graph, mean, logSoftmax.Inputs[0]!, labels.Labels, labels.IgnoreIndex)
            : "the sum is not divided by the number of rows that count";
    }

    private string? Put(CanonicalGraph graph, Node root, Value logits, Value labels, long ignoreIndex)
    {
        if (logits.Shape is not { Rank: 2 } || labels.Shape is not { Rank: 1 } || labels.Type != ElementType.Int64)
            return $"logits {logits.Shape} and labels {labels.Type.Name()}{labels.Shape} are not (N, V) and int64 (N)";
        // A cast to float32 in front is what the operator does itself.
        var narrow = Match.BeforeCasts(logits);
        if (root.Output.Type != ElementType.Float)
            return $"the loss is {root.Output.Type.Name()}";
        if (narrow.Type is not (ElementType.Float or ElementType.Float16 or ElementType.BFloat16))
            narrow = logits;
        graph.Replace(Kind, root, build => build.CrossEntropy(narrow, labels, "cross_entropy", ignoreIndex).Loss);
        return null;
    }

    /// <summary>Labels behind indices (N, 1) = Unsqueeze(Where(counted, labels, any)).</summary>
    private static (Value Labels, long IgnoreIndex)? Labels(Value indices)
    {
        while (indices.Producer is { } view && (view.Is("Unsqueeze") || view.Is("Reshape")))
            indices = view.Inputs[0]!;
        return indices.Producer is { } safe && safe.Is("Where") && Ignored(safe.Inputs[0]!) is { } rows && rows.Labels == safe.Inputs[1]
            && safe.Inputs[2]?.Number() is >= 0 ? rows : null;
    }

    /// <summary>The labels and the one to ignore, of Not(Equal(labels, ignored)).</summary>
    private static (Value Labels, long IgnoreIndex)? Ignored(Value counted) =>
        counted.Producer is { } not && not.Is("Not") && not.Inputs[0]!.Producer is { } equal && equal.Is("Equal")
            && equal.Inputs[1]?.Number() is { } index ? (equal.Inputs[0]!, (long)index) : null;

    /// <summary>The same, of the number of rows that count.</summary>
    private static (Value Labels, long IgnoreIndex)? Counts(Value number)
    {
        while (number.Producer is { } cast && cast.Is("Cast"))
            number = cast.Inputs[0]!;
        if (number.Producer is not { } sum || !sum.Is("ReduceSum") || !SumsAll(sum))
            return null;
        var ones = sum.Inputs[0]!;
        while (ones.Producer is { } cast && cast.Is("Cast"))
            ones = cast.Inputs[0]!;
        return Ignored(ones);
    }

    private static bool SumsAll(Node sum) => sum.Output.Shape is { Rank: 0 };
}
