using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Models.Optimizer;

/// <summary>The graphs between gradients and optimizer: their sum over micro-batches, and their global norm.</summary>
/// <remarks>The norm has a graph of its own so that the run can stop at a non-finite one before any parameter is written.</remarks>
internal static class GradientGraphs
{
    public const string Keep = "keep";
    public const string Weight = "weight";
    public const string Sum = "sum.";
    public const string Updated = "updated.";

    /// <summary>Number of the addition in the run, where sums are bfloat16.</summary>
    public const string SumStep = "sum_step";

    /// <summary>Of the run, where sums are bfloat16.</summary>
    public const string SumSeed = "sum_seed";

    /// <summary>sum.P = keep * sum.P + weight * grad.P, in place; keep is 0 for the first micro-batch of an update and 1 for the others.</summary>
    /// <remarks>Weighted by counted tokens and scaled by their total, the sum is the gradient of the mean over all counted tokens.</remarks>
    /// <param name="parameters">Names and shapes.</param>
    /// <param name="type">Of gradients; sums are float32.</param>
    public static Model Accumulate(IReadOnlyList<(string Name, Shape Shape)> parameters, ElementType type = ElementType.Float)
    {
        var model = AdamWGraph.NewModel("accumulate");
        var graph = model.Graph;
        var keep = graph.AddInput(new Value(Keep, ElementType.Float, Shape.Scalar));
        var weight = graph.AddInput(new Value(Weight, ElementType.Float, Shape.Scalar));
        var build = GraphBuilder.AtEnd(graph);
        foreach (var (name, shape) in parameters)
        {
            var sum = graph.AddInput(new Value(Sum + name, ElementType.Float, shape));
            var gradient = graph.AddInput(new Value(TrainingNames.GradientOf(name), type, shape));
            var updated = build.WeightedSum(sum, gradient, keep, weight, $"{name}/weighted_sum");
            graph.Rename(updated, Updated + Sum + name);
            graph.AddOutput(updated);
        }
        return model;
    }

    /// <summary>Puts these sums into the training graph, each behind its gradient, so that gradients do not exist together.</summary>
    /// <remarks>
    /// In place of grad.P the graph gives updated.sum.P, to be bound to the buffer of its input sum.P, and takes keep and weight: operator and operands are
    /// those of <see cref="Accumulate"/>, and so are the bits where sums are float32. Sums of bfloat16 take half of that; each addition is rounded by chance, by
    /// the inputs sum_step and sum_seed () int64.
    /// </remarks>
    /// <param name="model">A training graph with shapes inferred; is changed.</param>
    /// <param name="parameters">Names of those that have a gradient, in the order that numbers them.</param>
    /// <param name="sums">Type of the sums: float32 or bfloat16.</param>
    public static void AddSumsTo(Model model, IEnumerable<string> parameters, ElementType sums = ElementType.Float)
    {
        using var activity = GraphActivity.Build("sums of gradients in the backward part");
        var graph = model.Graph;
        var keep = graph.AddInput(new Value(Keep, ElementType.Float, Shape.Scalar));
        var weight = graph.AddInput(new Value(Weight, ElementType.Float, Shape.Scalar));
        (Value Step, Value Seed)? chance = sums == ElementType.Float ? null : (Number(SumStep), Number(SumSeed));
        var build = GraphBuilder.AtEnd(graph, "sums");
        var outputs = graph.Outputs.ToDictionary(o => o.Name, StringComparer.Ordinal);
        foreach (var (number, name) in parameters.Index())
        {
            var gradient = outputs[TrainingNames.GradientOf(name)];
            var sum = graph.AddInput(new Value(Sum + name, sums, gradient.Shape));
            var updated = build.WeightedSum(sum, gradient, keep, weight, $"{name}/weighted_sum", chance is var (step, seed) ? (step, seed, number) : null);
            graph.RemoveOutput(gradient);
            graph.Rename(updated, Updated + Sum + name);
            graph.AddOutput(updated);
        }

        Value Number(string name) => graph.AddInput(new Value(name, ElementType.Int64, Shape.Scalar));
    }

    /// <summary>gradient_norm () = gradient_scale * || all grad.P ||, the norm of the scaled gradient.</summary>
    /// <param name="parameters">Names and shapes.</param>
    /// <param name="type">Of gradients.</param>
    /// <param name="overRanks">Adds up a sum () over ranks that have some rows each; null: there are none.</param>
    public static Model Norm(IReadOnlyList<(string Name, Shape Shape)> parameters, ElementType type = ElementType.Float,
        Func<GraphBuilder, Value, Value>? overRanks = null)
    {
        var model = AdamWGraph.NewModel("gradient_norm");
        var graph = model.Graph;
        var scale = graph.AddInput(new Value(AdamWGraph.GradientScale, ElementType.Float, Shape.Scalar));
        var build = GraphBuilder.AtEnd(graph);
        var squares = parameters
            .Select(p => Square(build, graph.AddInput(new Value(TrainingNames.GradientOf(p.Name), type, p.Shape)), $"{p.Name}/square")).ToArray();
        var sum = build.Op("squares", "Sum", squares);
        var norm = build.Op("norm", "Sqrt", [overRanks is null ? sum : overRanks(build, sum)]);
        graph.AddOutput(build.Op(AdamWGraph.GradientNorm, "Mul", [norm, scale]));
        return model;
    }

    /// <summary>The sum of a gradient's squares, ().</summary>
    internal static Value Square(GraphBuilder build, Value gradient, string name) => gradient.Type == ElementType.Float
        ? build.Op(name, "ReduceSumSquare", [gradient], Attribute.Of("keepdims", 0L)) : build.SquareSum(gradient, name);
}
