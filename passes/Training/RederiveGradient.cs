using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Replaces the gradient of a training graph: drops it, canonicalizes the forward part, and differentiates that.</summary>
/// <remarks>
/// An exporter's joint graph spells out the backward part of norms, attention and activations node by node. Rebuilt, it has the gradient operators of
/// com.halo, no repeated keys and values, no masks (B, 1, T, T), and one Gemm for each of a linear layer's three products. Inputs and outputs keep
/// names, types and order; a parameter without a gradient stays without. Verification shows whether loss and gradients are the same as before.
/// </remarks>
/// <param name="Bound">The largest relative difference of an output; see <see cref="Canonicalize"/>.</param>
public sealed record RederiveGradient(double Bound = Canonicalize.Float32Bound) : IGraphPass
{
    public string Name => "rederive-gradient";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public void Requires(Model model)
    {
        if (model.Graph.Outputs.All(o => o.Name != TrainingNames.Loss) || !model.Graph.Outputs.Any(TrainingNames.IsGradient))
        {
            throw new PassException(Name, "the graph", $"outputs '{TrainingNames.Loss}' and '{TrainingNames.GradientPrefix}PARAMETER'",
                string.Join(", ", model.Graph.Outputs.Take(5).Select(o => $"'{o.Name}'")), "For a forward graph use canonicalize and build-gradient.");
        }
        new Canonicalize(Bound).Requires(model);
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (graph.Nodes.FirstOrDefault(IsGradientOperator) is { } present)
        {
            context.Skip(present, "the gradient is that of a canonical graph already");
            return new PassResult(0);
        }
        var outputs = graph.Outputs.Select(o => (o.Name, o.Type, o.Shape)).ToList();
        foreach (var gradient in graph.Outputs.Where(TrainingNames.IsGradient).ToList())
            graph.RemoveOutput(gradient);
        Drop(model, context);
        new Canonicalize(Bound).Run(model, context);
        graph.SortTopologically();
        if (graph.Nodes.All(n => n.Domain != HaloDomain.Name))
        {
            throw new PassException(Name, "the forward part",
                "a norm, a rotary embedding, an attention, a SwiGLU or a cross-entropy that canonicalize knows", "none",
                "Leave this pass out; section 'canonical' of the report says what was looked at.");
        }
        var build = new BuildGradient();
        build.Requires(model);
        build.Run(model, context);
        Restore(graph, outputs);
        Drop(model, context);
        return new PassResult(1);
    }

    public void Ensures(Model model)
    {
        if (!model.Graph.Nodes.Any(IsGradientOperator))
            throw new PassException(Name, "the graph", "gradient operators of com.halo", "none", "This is a defect of the pass; please report it.");
    }

    /// <summary>The outputs that the graph had, in their order.</summary>
    private void Restore(Graph graph, List<(string Name, ElementType Type, Shape? Shape)> outputs)
    {
        foreach (var output in graph.Outputs.ToList())
            graph.RemoveOutput(output);
        foreach (var (name, type, shape) in outputs)
        {
            if (!graph.TryGetValue(name, out var value) || value.Type != type || (shape is not null && !shape.Equals(value.Shape)))
            {
                throw new PassException(Name, $"output '{name}'", $"{type.Name()}{shape}", value is null ? "no gradient" : $"{value.Type.Name()}{value.Shape}",
                    "This is a defect of the pass; please report it.");
            }
            graph.AddOutput(value);
        }
    }

    private static void Drop(Model model, PassContext context) => new RemoveDeadCode().Run(model, context);

    private static bool IsGradientOperator(Node node) => node.Domain == HaloDomain.Name && node.OpType.EndsWith("Grad", StringComparison.Ordinal);
}
