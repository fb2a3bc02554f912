using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Operators;

namespace Halo.Models.Optimizer;

/// <summary>Puts the update of each parameter into the training graph, behind its gradient, so that gradients do not exist together.</summary>
/// <remarks>
/// In place of grad.P the graph gives updated.P, updated.exp_avg.P, updated.exp_avg_sq.P, to be bound to the buffers of the inputs P, exp_avg.P,
/// exp_avg_sq.P as in <see cref="AdamWGraph"/>, and gradient_norm (), the global norm. An update waits (com.halo.Barrier) for every node that reads its
/// parameter and that the gradient does not hang on: casts, transposes and views give way to those who read them, since a runtime may fuse them. It waits
/// for the gradient's own sum of squares too, so that the gradient can go. What an update writes is so read by nobody later in the run.
/// Clipping goes by the norm of the step before, the input previous_norm: this step's is known when the last update is done. The bits without clipping are
/// those of the optimizer's own graph. [Lv et al. 2023, LOMO, for the idea]
/// </remarks>
internal static class OptimizerInBackward
{
    public const string PreviousNorm = "previous_norm";

    /// <param name="model">A training graph with shapes inferred; is changed.</param>
    /// <param name="parameters">Trained ones, in the order that numbers them.</param>
    /// <param name="settings">Of the run.</param>
    /// <param name="type">Of parameters, gradients and moments.</param>
    /// <param name="overRanks">Adds up a sum () over ranks that have some rows each; null: there are none.</param>
    public static void AddTo(Model model, IReadOnlyList<(string Name, Shape Shape)> parameters, AdamWSettings settings, ElementType type,
        Func<GraphBuilder, Value, Value>? overRanks = null)
    {
        using var activity = GraphActivity.Build("adamw in the backward part");
        settings.Check([.. parameters.Select(p => p.Name)]);
        var graph = model.Graph;
        var build = GraphBuilder.AtEnd(graph, "optimizer");
        var factors = new AdamWFactors(graph, build, settings, type, PreviousNorm);
        var squares = new Value[parameters.Count];
        var places = RunOrder.Of(graph).Select((node, place) => (node, place)).ToDictionary(p => p.node, p => p.place);
        var inputs = graph.Inputs.ToDictionary(i => i.Name, StringComparer.Ordinal);
        var outputs = graph.Outputs.ToDictionary(o => o.Name, StringComparer.Ordinal);
        var updates = parameters.Select((p, number) => (Number: number, Parameter: inputs[p.Name], Gradient: outputs[TrainingNames.GradientOf(p.Name)]))
            .OrderBy(u => places[u.Gradient.Producer!]).ToList(); // order-nodes runs them as they stand, whatever the order of the file was
        var ancestors = new AncestorSets(graph, updates.SelectMany(u => Readers(u.Parameter)).Where(n => !IsLayout(n)));
        foreach (var (number, p, gradient) in updates)
        {
            graph.RemoveOutput(gradient);
            squares[number] = GradientGraphs.Square(build, gradient, $"{p.Name}/square");
            var gated = build.Barrier(gradient, [squares[number], .. Awaited(p, gradient, ancestors)], $"{p.Name}/gradient");
            factors.Update(p, gated, $"{p.Name}/adamw", number);
        }
        var sum = build.Op("squares", "Sum", squares);
        var norm = build.Op("norm", "Mul", [build.Op("root", "Sqrt", [overRanks is null ? sum : overRanks(build, sum)]),
            graph.Inputs.First(i => i.Name == AdamWGraph.GradientScale)]);
        graph.Rename(norm, AdamWGraph.GradientNorm);
        graph.AddOutput(norm);
    }

    /// <summary>A float output of each node that reads a parameter and that its gradient does not hang on.</summary>
    private static IEnumerable<Value> Awaited(Value parameter, Value gradient, AncestorSets ancestors) => Readers(parameter)
        .Where(n => !IsLayout(n) && !n.Is(nameof(AdamW), HaloDomain.Name) && !ancestors.Contains(gradient, n))
        .Select(n => n.Outputs.FirstOrDefault(o => o.Type is ElementType.Float or ElementType.BFloat16 or ElementType.Float16)
            ?? throw new HaloException("optimizer-in-backward", n.ToString(), "a reader of a parameter that gives a float tensor to wait for",
                $"{n.Output.Type.Name()}", "Leave optimizer_in_backward out, or report the graph."));

    /// <summary>The nodes that read a parameter, and those that read it through layouts.</summary>
    private static IEnumerable<Node> Readers(Value parameter)
    {
        var seen = new HashSet<Node>();
        var pending = new Stack<Value>([parameter]);
        while (pending.TryPop(out var value))
        {
            foreach (var reader in value.Uses.Select(u => u.Node).Where(seen.Add))
            {
                if (IsLayout(reader))
                    pending.Push(reader.Output);
                yield return reader;
            }
        }
    }

    private static bool IsLayout(Node node) => node.Facts.Role is OperatorRole.View or OperatorRole.Ordering || node.Is("Transpose") || node.Is("Cast")
        || node.Is("Identity");
}
