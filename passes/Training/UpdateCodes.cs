using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Splits off a training graph the 8-bit codes of the weights that it trains, which are the same for all micro-batches of an update.</summary>
/// <remarks>
/// A graph of its own makes them of the parameters, rotated where the scheme rotates them, once an update; the training graph reads them, with their scales, by
/// inputs of the values' names, which are marked. It is the same nodes that run, so that bits stay. Parameters stay inputs of the training graph, read or not.
/// </remarks>
public static class UpdateCodes
{
    private const string Mark = "update";

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
        if (trained.SelectMany(p => p.Uses).FirstOrDefault(u => u.Node.Is(nameof(CustomOps.Barrier), HaloDomain.Name)) is { Node: { } again })
        {
            throw new PassException("weight-codes", again.ToString(), "a graph that makes codes of weights once", "a recompute that makes them again in the backward part",
                "Leave weight_codes out, or train from the model: an artifact is prepared for weights that are made again.");
        }
        return FrozenBase.Split(training, trained, v => v.Producer!.Is(nameof(Quantize), HaloDomain.Name), Mark)
            ?? throw new PassException("weight-codes", $"graph '{graph.Name}'", "weights that are trained, and that products read in 8 bits", "none",
                "Leave weight_codes out, or give a scheme and a format: what is frozen under an adapter is quantized once in any case.");
    }
}
