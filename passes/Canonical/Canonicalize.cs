using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical;

/// <summary>Rewrites a forward graph from any exporter's form into the operators of com.halo, which have gradients of their own.</summary>
/// <remarks>
/// RmsNorm, RotaryEmbedding, Attention (grouped heads; causal masks, windows, padding), SwiGlu, CrossEntropy, and each linear layer as a Gemm with the weight
/// as it lies: a pattern a file in <c>Canonical/</c>. Patterns are found by structure; what masks and tables hold is found by computing them. What looks
/// like a pattern and is none is left, with the reason in section <c>canonical</c> of the report.
/// A query that sees no key, padding in front of a row, gets Y = 0 from Attention; exporters give it equal weights, or NaN. Where such a query's loss
/// counts, its loss changes: mask the label. In float32 other values move by rounding alone. In bfloat16 and float16 a pattern rounds once where the
/// exporter's nodes round after each step: give a bound of 0.05 to verify such a graph.
/// A graph with gradients is left: its backward part reads what the patterns would remove. rederive-gradient does both.
/// </remarks>
/// <param name="Bound">The largest relative difference of an output; rounding in float32 stays well below the default.</param>
public sealed record Canonicalize(double Bound = Canonicalize.Float32Bound) : IGraphPass
{
    public const double Float32Bound = 1e-5;

    /// <summary>What rounding after each node, and not once, may make of bfloat16, with room.</summary>
    public const double Float16Bound = 0.05;

    private static readonly CanonicalPattern[] Patterns =
    [
        new RmsNormPattern(), new RotaryEmbeddingPattern(), new AttentionPattern(), new SwiGluPattern(), new CrossEntropyPattern(),
    ];

    public string Name => "canonicalize";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public void Requires(Model model)
    {
        if (!(Bound > 0))
            throw new PassException(Name, "bound", "a relative difference above 0", $"{Bound}", "Leave it out for 1e-5.");
        if (model.Opset < HaloDomain.MinOpset)
            throw new PassException(Name, "the model", $"opset {HaloDomain.MinOpset} or later", $"opset {model.Opset}", "Run upgrade-opset first.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        if (model.Graph.Outputs.FirstOrDefault(TrainingNames.IsGradient) is { } gradient)
        {
            context.Skip("the graph", $"its output '{gradient.Name}' reads inner values of the forward part; run rederive-gradient");
            return new PassResult(0);
        }
        ShapeInference.Run(model.Graph);
        var graph = new CanonicalGraph(model, context, Name);
        var rewrites = RedundantViews.Casts(model.Graph, context) + RedundantViews.CastsFirst(model.Graph, context);
        foreach (var pattern in Patterns)
        {
            foreach (var node in model.Graph.Nodes.Where(pattern.IsCandidate).ToList().Where(n => n.Graph is not null))
            {
                if (pattern.Rewrite(graph, node) is { } reason)
                    graph.Leave(pattern.Kind, node, reason);
                else
                    rewrites++;
            }
        }
        rewrites += RedundantViews.Casts(model.Graph, context);
        rewrites += LinearProducts.Run(model, context);
        rewrites += RedundantViews.Run(model.Graph, context);
        if (rewrites > 0)
            model.Graph.RemoveUnusedInitializers();
        return new PassResult(rewrites);
    }
}
