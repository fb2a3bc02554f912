using Halo.Analysis;
using Halo.Ir;
using Halo.Runner.Data;

namespace Halo.Runner.Training.Engine;

/// <summary>What the values of a batch may be, read off the graph that takes them, and whether they are.</summary>
/// <param name="Tokens">Rows of the embedding; null where the graph does not show it.</param>
/// <param name="Classes">Logits of a token; null where the graph does not show it, and the ids' bound counts.</param>
/// <remarks>
/// Graphs differ in what they do with other values: a Gather or GatherElements takes -1 as the last row, without a word. PyTorch refuses them.
/// </remarks>
internal sealed record BatchBounds(long? Tokens, long? Classes)
{
    /// <summary>Operators that hand a token's id or label on as it is, or set it to one that is in bounds.</summary>
    private static readonly HashSet<string> Passing =
        ["Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Slice", "Where", "Transpose", "Pad", "Concat", "Expand"];

    /// <exception cref="HaloException">The graph's loss leaves out another label than the one that batches have.</exception>
    public static BatchBounds Of(Graph graph)
    {
        long? tokens = null, classes = null;
        foreach (var (node, index) in UsersOf(graph, TrainingNames.InputIds))
        {
            if (node.Is("Gather") && index == 1 && node.Int("axis", 0) == 0)
                tokens = Least(tokens, Size(node.Inputs[0], 0));
        }
        foreach (var (node, index) in UsersOf(graph, TrainingNames.Labels))
        {
            if (index != 1)
                continue;
            if (node.Is("GatherElements"))
                classes = Least(classes, Size(node.Inputs[0], node.Int("axis", 0)));
            else if (node.Is("SoftmaxCrossEntropyLoss") || node.Is("NegativeLogLikelihoodLoss") || node.OpType is "CrossEntropy")
            {
                classes = Least(classes, Size(node.Inputs[0], 1));
                var ignored = node.Int(node.IsStandard ? "ignore_index" : "ignoreIndex", TrainingNames.IgnoredLabel);
                if (ignored != TrainingNames.IgnoredLabel)
                {
                    throw new HaloException("training-graph", node.ToString(), $"a loss that leaves out the label {TrainingNames.IgnoredLabel}", $"{ignored}",
                        "Export the graph with ignore_index=-100, as batches mark what is not learned.");
                }
            }
        }
        return new BatchBounds(tokens, classes);
    }

    /// <summary>Throws unless ids, labels and mask are in bounds and some label counts.</summary>
    /// <param name="batch">What one run of the graph takes.</param>
    /// <param name="inputs">The graph's names of it.</param>
    /// <param name="sequence">T.</param>
    /// <param name="file">Where the batch stands, for messages; null: in no file.</param>
    /// <exception cref="HaloException">Names input, row and place of the first value that is not.</exception>
    public void Check(MicroBatch batch, IReadOnlyList<BatchInput> inputs, int sequence, string? file = null)
    {
        foreach (var (name, role) in inputs)
        {
            var (values, (least, end)) = (batch[role], Range(role));
            for (var n = 0; n < values.Length; n++)
            {
                if ((values[n] >= least && !(values[n] >= end)) || (role == BatchRole.Labels && values[n] == TrainingNames.IgnoredLabel))
                    continue;
                throw Refusal($"'{name}', row {n / sequence}, token {n % sequence} (both from 0)", Expected(role, end), $"{values[n]}", role switch
                {
                    BatchRole.Labels => "Mark what is not learned with -100; other labels are ids of tokens.",
                    BatchRole.Mask => "Mark tokens with 1 and padding with 0.",
                    _ => "Check the tokenizer, and that padding has an id of the vocabulary.",
                });
            }
        }
        if (batch.Empty)
        {
            throw Refusal($"'{inputs.First(i => i.Role == BatchRole.Labels).Name}'", "a label that counts, behind the first token of some row", "none",
                "A mean over nothing is no number: leave the batch out, or mark what is learned with its ids.");
        }

        HaloException Refusal(string subject, string expected, string found, string advice) =>
            new("batch", file is null ? subject : $"{file}: {subject}", expected, found, advice);
    }

    /// <summary>From the first number to below the second.</summary>
    private (long Least, long? End) Range(BatchRole role) => role switch
    {
        BatchRole.TokenIds => (0, Tokens),
        BatchRole.Labels => (0, Classes ?? Tokens),
        BatchRole.Mask => (0, 2),
        _ => (0, null),
    };

    private static string Expected(BatchRole role, long? end) => role switch
    {
        BatchRole.Mask => "0 or 1",
        BatchRole.Labels => $"-100, or an id {Below(end)}",
        BatchRole.TokenIds => $"an id {Below(end)}",
        _ => "a number from 0 up",
    };

    private static string Below(long? end) => end is { } size ? $"from 0 to {size - 1}" : "from 0 up";

    private static long? Size(Value? value, long axis)
    {
        if (value?.Shape is not { } shape)
            return null;
        return shape[(int)(axis < 0 ? axis + shape.Rank : axis)].Size;
    }

    private static long? Least(long? a, long? b) => a is null ? b : b is null ? a : Math.Min(a.Value, b.Value);

    /// <summary>Nodes that take the values of a graph's input, as they are.</summary>
    private static IEnumerable<Use> UsersOf(Graph graph, string input)
    {
        var seen = new HashSet<Value>();
        var open = new Queue<Value>();
        if (graph.Inputs.FirstOrDefault(i => i.Name == input) is { } first)
            open.Enqueue(first);
        while (open.TryDequeue(out var value))
        {
            foreach (var use in value.Uses)
            {
                yield return use;
                if (use.Node.IsStandard && Passing.Contains(use.Node.OpType) && seen.Add(use.Node.Outputs[0]))
                    open.Enqueue(use.Node.Outputs[0]);
            }
        }
    }
}
