using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training.Gradients;

namespace Halo.Passes.Training;

/// <summary>Adds to a forward graph the gradient of its loss: an output <c>grad.PARAMETER</c> for each parameter, which is a float input.</summary>
/// <remarks>
/// Reverse-mode differentiation: the nodes between the trained parameters and the loss are taken from the last to the first, and the rule of each
/// (<c>Gradients/</c>) adds to the gradients of what it reads. All of them stand behind the forward nodes. Gradients have the shape and type of
/// their parameter. Shapes are static; integer inputs that give shapes and axes are constant. Comparisons and other steps end a gradient, as their slope is
/// zero, and are listed where the loss is computed from their value; a parameter that the loss depends on by steps alone is an error, and so is rounding but for QuantizeLinear with DequantizeLinear.
/// </remarks>
/// <param name="Freeze">Parameters without a gradient, by patterns.</param>
public sealed record BuildGradient(NamePatterns? Freeze = null) : IGraphPass
{
    /// <summary>Axes of reductions are inputs from this opset on, which is how rules write them.</summary>
    private const long MinOpset = 18;

    /// <summary>The reason that a step between parameters and loss is skipped for.</summary>
    public const string EndsThere = "no gradient goes through it, as its slope is zero";

    public string Name => "build-gradient";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (model.Opset < MinOpset)
            throw new PassException(Name, $"graph '{model.Graph.Name}'", $"opset {MinOpset} or later", $"{model.Opset}", "Run upgrade-opset first.");
        if (Loss(model.Graph) is not { Shape.Rank: 0 } loss || !loss.Type.IsFloat())
        {
            throw new PassException(Name, $"graph '{model.Graph.Name}'", $"a scalar float output '{TrainingNames.Loss}'",
                Loss(model.Graph)?.ToString() ?? string.Join(", ", model.Graph.Outputs), "Run attach-loss first.");
        }
        var unmatched = Freeze?.Unmatched([.. Parameters(model.Graph).Select(p => p.Name)]) ?? [];
        if (unmatched.Count > 0)
        {
            var names = Parameters(model.Graph).Select(p => p.Name).ToList();
            throw new PassException(Name, "freeze", "patterns that match parameters", string.Join(", ", unmatched),
                NearestName.OfPattern(unmatched[0], names) is { } meant ? $"Did you mean '{meant}'?"
                    : $"Parameters are the float inputs of the graph, such as '{names.FirstOrDefault()}'.");
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (graph.Outputs.FirstOrDefault(TrainingNames.IsGradient) is { } present)
        {
            context.Skip($"graph '{graph.Name}'", $"it has gradients already, such as '{present.Name}'");
            return new PassResult(0);
        }
        var trained = Parameters(graph).Where(p => Freeze?.Matches(p.Name) != true).ToList();
        if (trained.Count == 0)
        {
            throw new PassException(Name, $"graph '{graph.Name}'", "parameters, which are float inputs", Freeze is null ? "none" : "all of them frozen",
                "Run name-parameters first, or freeze less.");
        }
        var path = GradientPath.Between(trained, Loss(graph)!);
        path.Check(Name, trained);
        foreach (var step in path.Ends)
            context.Skip(step, EndsThere);
        var gradients = new GradientGraph(model, path.Values);
        var end = Building.GraphBuilder.AtEnd(graph);
        gradients.Add(Loss(graph)!, gradients.Scalar(1, Loss(graph)!.Type), end);
        foreach (var node in path.Nodes.Reverse())
        {
            if (node.Outputs.Any(o => gradients.Of(o) is not null))
                GradientRules.Find(node)!(new NodeGradient(node, gradients));
        }
        if (trained.Find(p => gradients.Of(p) is null) is { } without)
        {
            throw new PassException(Name, $"'{without.Name}'", "a path to the loss that a gradient goes through",
                "one through inputs without a gradient alone", "Freeze it, or change how it is used.");
        }
        foreach (var parameter in trained)
            Output(graph, parameter, gradients);
        return new PassResult(trained.Count);
    }

    public void Ensures(Model model)
    {
        foreach (var parameter in Parameters(model.Graph).Where(p => Freeze?.Matches(p.Name) != true))
        {
            var gradient = model.Graph.Outputs.FirstOrDefault(o => o.Name == TrainingNames.GradientOf(parameter.Name));
            if (gradient is null || gradient.Type != parameter.Type || !gradient.Shape!.Equals(parameter.Shape))
                throw new PassException(Name, $"'{parameter.Name}'", $"a gradient like {parameter}", $"{gradient}", "Report this with the graph.");
        }
    }

    /// <summary>The gradient under the parameter's name: a value of its own, which a constant or another parameter's gradient is not.</summary>
    private static void Output(Graph graph, Value parameter, GradientGraph gradients)
    {
        var name = TrainingNames.GradientOf(parameter.Name);
        var build = Building.GraphBuilder.AtEnd(graph, name);
        var gradient = gradients.Of(parameter)!;
        if (gradient.Producer is null || gradient.IsGraphOutput)
            gradient = build.Op("", "Identity", [gradient]);
        graph.Rename(gradient, name);
        graph.AddOutput(gradient);
    }

    private static Value? Loss(Graph graph) => graph.Outputs.FirstOrDefault(o => o.Name == TrainingNames.Loss);

    private static IEnumerable<Value> Parameters(Graph graph) => graph.Inputs.Where(i => i.Type.IsFloat());
}
