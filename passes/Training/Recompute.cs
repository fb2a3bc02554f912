using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training.Recomputation;

namespace Halo.Passes.Training;

/// <summary>What is computed again.</summary>
public enum RecomputeBy
{
    /// <summary>Everything inside a layer; what layers hand to one another is kept.</summary>
    Layer,

    /// <summary>Nodes of some kinds; all else is kept.</summary>
    Kind,

    /// <summary>Nothing but weights in other types, orders or codes.</summary>
    Weights,

    /// <summary>What stands behind a layer's attention and its residual sum.</summary>
    FeedForward,
}

/// <summary>Lets the backward part of a training graph compute activations again, so that they need no memory in between.</summary>
/// <remarks>
/// A layer's forward nodes that its backward nodes need are repeated, on what the layer read. [Chen et al. 2016] A runtime would run the copies as soon as
/// it can, when nothing is gained: so what they read, and the gradient that comes into the layer, wait (com.halo.Barrier) for all that the layers
/// behind have to compute. Values keep their bits. Works before and after rotation and quantization.
/// </remarks>
/// <param name="By">Whole layers, or kinds of nodes.</param>
/// <param name="Kinds">With <c>by=kind</c>: which; with <c>by=feed-forward</c>: what is computed again besides, in all layers.</param>
/// <param name="Layers">In the first so many layers; null: in all.</param>
/// <param name="Weights">Weights in other types, orders or codes are made again too, from the parameters.</param>
public sealed record Recompute(RecomputeBy By = RecomputeBy.Layer, RecomputeKinds? Kinds = null, int? Layers = null, bool Weights = false) : IGraphPass
{
    public string Name => "recompute";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (By != RecomputeBy.FeedForward && (By == RecomputeBy.Kind) != (Kinds is not null))
        {
            throw new PassException(Name, "kinds", "kinds with by=kind, and none with by=layer or by=weights", $"by={By} and kinds '{Kinds}'",
                "Write by=kind kinds=\"norm+activation\".");
        }
        var outputs = model.Graph.Outputs.Select(o => o.Name).ToList();
        if (!outputs.Contains(TrainingNames.Loss) || !outputs.Exists(o => o.StartsWith(TrainingNames.GradientPrefix, StringComparison.Ordinal)))
        {
            throw new PassException(Name, $"graph '{model.Graph.Name}'", "a training graph, with a loss and gradients", string.Join(", ", outputs.Take(5)),
                "Run build-gradient first.");
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var stream = ForwardStream.Of(graph, graph.Outputs.First(o => o.Name == TrainingNames.Loss));
        if (stream.LayerCount == 0)
        {
            throw new PassException(Name, $"graph '{graph.Name}'", "layers with an attention each, joined by one residual stream", "none",
                "Leave recompute out, or export a transformer.");
        }
        var backward = new BackwardLayers(graph, stream);
        var kept = LastCopies.Of(stream, this);
        var (rewrites, waitedFor) = (0, int.MaxValue);
        for (var layer = stream.LayerCount - 1; layer >= 0; layer--)
        {
            var copies = new LayerCopies(model, stream, this, kept, layer);
            var readers = backward.Nodes(layer).Where(n => n.Inputs.Any(copies.IsRepeated)).ToList();
            if (readers.Count == 0)
                continue;
            var incoming = backward.Incoming(layer);
            if (incoming.Count == 0)
            {
                context.Skip(readers[0], $"no gradient comes into layer {layer} that its copies could wait for");
                continue;
            }
            context.Step(readers[0], $"compute layer {layer} again");
            copies.WaitFor(incoming, [.. backward.Finished(layer + 1, waitedFor).Except(incoming)], backward.Nodes(layer));
            waitedFor = layer + 1;
            foreach (var node in readers)
                copies.Serve(node);
            rewrites += copies.Count;
        }
        UnreadCodes.Drop(model);
        return new PassResult(rewrites);
    }

    /// <summary>How many layers a training graph has.</summary>
    public static int LayersOf(Model model) => ForwardStream.Of(model.Graph, model.Graph.Outputs.First(o => o.Name == TrainingNames.Loss)).LayerCount;

    /// <summary>Whether a value is computed again: one of a layer, or of weights.</summary>
    internal bool Repeats(ForwardStream stream, Value value) => stream.Contains(value)
        ? stream.LayerOf(value) is var layer && layer >= 0 && layer < stream.LayerCount && !stream.Borders.Contains(value)
            && (layer < (Layers ?? int.MaxValue)) is var isOne && By switch
            {
                RecomputeBy.Layer => isOne,
                RecomputeBy.Weights => false,
                RecomputeBy.FeedForward => (isOne && stream.IsFeedForward(value)) || Kinds?.Includes(value.Producer!) == true,
                _ => isOne && Kinds!.Includes(value.Producer!),
            }
        : (Weights || By == RecomputeBy.Weights) && stream.IsOfWeights(value) && (By != RecomputeBy.Kind || !IsOfFactors(value));

    /// <summary>Whether a value is cast or joined of adapters' factors alone: a few numbers, of which a kernel costs more than the memory.</summary>
    private static bool IsOfFactors(Value value) => value.IsGraphInput ? AdapterNames.IsFactor(value.Name)
        : value.Producer is { } node && (node.Is("Cast") || node.Is("Concat")) && node.Inputs.All(x => IsOfFactors(x!));
}
