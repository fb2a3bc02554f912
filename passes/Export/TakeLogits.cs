using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Export.Inference;
using Halo.Passes.Infra;

namespace Halo.Passes.Export;

/// <summary>Makes a graph of logits of a training graph or a graph of a loss: <c>logits</c> (B, T, V) is the only output that stays.</summary>
/// <remarks>
/// The logits are an output of that name or shape, or what the head computes (<see cref="LinearLayer.IsHead"/>); rows (B T, V) become (B, T, V). Gradients,
/// the loss and the input <c>labels</c> go, with all that leads to them alone. Parameters stay inputs.
/// A graph that quantizes its operands is refused: an export starts from the graph before that.
/// </remarks>
public sealed record TakeLogits() : IGraphPass
{
    public string Name => "take-logits";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var hasLoss = graph.Outputs.Any(o => o.Name == TrainingNames.Loss);
        var found = graph.Outputs.FirstOrDefault(o => o.Name == TrainingNames.Logits && o.Type.IsFloat())
            ?? (hasLoss ? Logits.ProductOf(graph) : Logits.OutputOf(graph, Name))
            ?? throw new PassException(Name, $"graph '{graph.Name}'", "a linear layer whose product the loss is taken of", "none",
                "Export a causal language model, or one with an output of logits.");
        var hasCache = graph.Inputs.Any(i => i.Name.StartsWith(CacheNames.Past, StringComparison.Ordinal));
        if ((graph.Outputs.Count == 1 || hasCache) && !hasLoss && found is { Name: TrainingNames.Logits, IsGraphOutput: true, Shape.Rank: 3 })
        {
            context.Skip($"graph '{graph.Name}'", hasCache ? "it gives logits and a cache" : "it gives logits alone");
            return new PassResult(0);
        }
        foreach (var output in graph.Outputs.ToList())
            graph.RemoveOutput(output);
        var logits = ByRow(graph, found);
        Logits.Rename(graph, logits);
        graph.AddOutput(logits);
        new RemoveDeadCode().Run(model, context);
        if (graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.Labels) is { } labels)
        {
            if (labels.Uses.Count > 0)
            {
                throw new PassException(Name, labels.Uses[0].Node, "", "logits that do not depend on labels", "a reader of 'labels'",
                    "If it takes their shape alone, run fold-constants first.");
            }
            graph.RemoveInput(labels);
        }
        if (graph.Nodes.FirstOrDefault(n => n.Domain == HaloDomain.Name && n.OpType is "Quantize" or "ScaledMatMul") is { } quantized)
        {
            throw new PassException(Name, quantized, "forward", "products of floats", $"a graph that quantize-operands rewrote",
                "Start from the graph before the rewrite: its parameters are the same.");
        }
        return new PassResult(1);
    }

    public void Ensures(Model model)
    {
        if (model.Graph.Outputs is not [{ Name: TrainingNames.Logits, Shape.Rank: 3 }, ..] || model.Graph.Outputs.Any(o => o.Name == TrainingNames.Loss))
        {
            throw new PassException(Name, $"graph '{model.Graph.Name}'", $"the output '{TrainingNames.Logits}' (B, T, V), and no loss",
                string.Join(", ", model.Graph.Outputs), "This is a defect of the pass; please report it.");
        }
    }

    /// <summary>(B T, V) as (B, T, V).</summary>
    private Value ByRow(Graph graph, Value logits)
    {
        if (logits.Shape is { Rank: 3 })
            return logits;
        var tokens = graph.Inputs.FirstOrDefault(i => i.Name == TrainingNames.InputIds)?.Shape;
        if (tokens is not { Rank: 2, IsStatic: true } || logits.Shape is not { Rank: 2, IsStatic: true } rows || rows.Sizes[0] != tokens.ElementCount)
        {
            throw new PassException(Name, $"'{logits.Name}'", $"logits (B T, V) of an input '{TrainingNames.InputIds}' (B, T), all of known sizes",
                $"logits {logits.Shape} of {TrainingNames.InputIds} {tokens}", "Run specialize-shapes first.");
        }
        var build = GraphBuilder.AfterDefinition(graph, logits, $"{logits.Name}/by_row");
        return build.Op("", "Reshape", [logits, build.Constant("shape", Tensor.Int64s([.. tokens.Sizes, rows.Sizes[1]]))]);
    }
}
