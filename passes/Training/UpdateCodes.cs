using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Splits off a training graph the 8-bit codes of the weights that it trains, which are the same for all micro-batches of an update.</summary>
/// <remarks>
/// A graph of its own makes them of the parameters, rotated where the scheme rotates them, once an update; the training graph reads them, with their scales, by
/// inputs of the values' names, which are marked. It is the same nodes that run, so that bits stay. Parameters stay inputs of the training graph, read or not.
/// </remarks>
public static class UpdateCodes
{
    private const string Mark = "update", PassName = "weight-codes";

    /// <summary>Whether an input is what <see cref="Split"/> made it.</summary>
    public static bool IsMade(Value input) => input.Metadata.TryGetValue(FrozenBase.HeldKey, out var mark) && mark == Mark;

    /// <summary>Splits a rewritten graph.</summary>
    /// <param name="training">Is changed.</param>
    /// <returns>From parameters to what the training graph reads of them.</returns>
    /// <exception cref="PassException">No weight that is trained is quantized, or the backward part quantizes weights again.</exception>
    public static Model Split(Model training)
    {
        var graph = training.Graph;
        var outputs = graph.Outputs.Select(o => o.Name).ToHashSet(StringComparer.Ordinal);
        var trained = graph.Inputs.Where(i => outputs.Contains(TrainingNames.GradientOf(i.Name))).ToList();
        var codes = FrozenBase.Split(training, trained, v => IsQuantize(v.Producer!), Mark)
            ?? throw new PassException(PassName, $"graph '{graph.Name}'", "weights that are trained, and that products read in 8 bits", "none",
                "Leave weight_codes out, or give a scheme and a format: what is frozen under an adapter is quantized once in any case.");
        RequireOnce(codes.Graph);
        return codes;
    }

    private static bool IsQuantize(Node node) => node.Facts.Role is OperatorRole.Codes;

    /// <summary>Throws where two nodes quantize the same: one for the forward part, one for the backward part.</summary>
    private static void RequireOnce(Graph codes)
    {
        var (keys, first, alike) = (new NodeKeys(), new Dictionary<string, Node>(StringComparer.Ordinal), new Dictionary<Value, Value>());
        var quantized = new HashSet<(Value Of, string Format)>();
        foreach (var node in codes.Nodes)
        {
            if (IsQuantize(node) && !quantized.Add((First(node.Inputs[0]!), node.Attributes["format"].String)))
            {
                throw new PassException(PassName, node.ToString(), "a graph that makes codes of weights once", "one that makes these again for its backward part",
                    "Leave weight_codes out, or train from the model: an artifact that was prepared with recompute frees codes of weights.");
            }
            if (IsQuantize(node) || first.TryAdd(keys.Of(node, First), node))
                continue;
            foreach (var (again, output) in node.Outputs.Zip(first[keys.Of(node, First)].Outputs))
                alike[again] = output;
        }

        Value First(Value value) => alike.GetValueOrDefault(value, value);
    }
}
