using System.Text.RegularExpressions;
using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Sharding;

/// <summary>Lets ranks find the largest magnitudes of a layer's weights in one collective in place of one a weight.</summary>
/// <remarks>
/// The maxima () of parameters that have the same layer number in their names, or all that have none, become one vector (count), which is reduced, and of which
/// each takes its element: the same bits, and for each weight one message less, whose latency is all that a number costs. None of them may depend on another
/// collective, so that no circle can arise.
/// </remarks>
public sealed partial record GroupMaxima : IGraphPass
{
    public string Name => "group-maxima";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var rewrites = 0;
        var groups = graph.Nodes.Where(IsMaximum).Select(wait => (Wait: wait, Layer: LayerOf(wait, context))).Where(m => m.Layer is not null)
            .GroupBy(m => (m.Layer, CollectiveOperator.RanksOf(StartOf(m.Wait)), StartOf(m.Wait).String("group", Collectives.World)), m => m.Wait);
        foreach (var waits in groups.Select(g => g.ToList()).Where(g => g.Count > 1).ToList())
        {
            context.Step(waits[0], $"reduce {waits.Count} maxima at once");
            Group(graph, waits);
            rewrites++;
        }
        if (rewrites > 0)
            graph.SortTopologically();
        return new PassResult(rewrites);
    }

    private static void Group(Graph graph, List<Node> waits)
    {
        var first = StartOf(waits[0]);
        var build = GraphBuilder.AtEnd(graph, waits[0].Output.Name + "/group");
        var axis = build.Constant("axis", Tensor.Int64s(0));
        Value?[] own = [.. waits.Select((wait, i) => build.Op($"own{i}", "Unsqueeze", [StartOf(wait).Inputs[0], axis]))];
        var all = build.Reduce(build.Op("own", "Concat", own, Attribute.Of("axis", 0L)), "max", CollectiveOperator.RanksOf(first),
            CollectiveOperator.RankOf(first), first.String("group", Collectives.World), "of_all");
        foreach (var (i, wait) in waits.Index())
        {
            wait.Output.ReplaceUsesWith(build.Op($"of_all{i}", "Gather", [all, build.Constant($"place{i}", Tensor.Scalar((long)i))], Attribute.Of("axis", 0L)));
            var start = StartOf(wait);
            graph.Remove(wait);
            graph.Remove(start);
        }
    }

    /// <summary>A wait for the largest of one number a rank, which no graph output is.</summary>
    private static bool IsMaximum(Node node) => node.Is(nameof(CollectiveWait), HaloDomain.Name) && !node.Output.IsGraphOutput
        && node.Inputs[0]!.Producer is { } start && start.Is(nameof(AllReduceStart), HaloDomain.Name) && start.String("op", "sum") == "max"
        && start.Inputs[0]!.Shape is { Rank: 0 };

    private static Node StartOf(Node wait) => wait.Inputs[0]!.Producer!;

    /// <summary>The layer of the parameter that a maximum is of; "" where its name has none, null where the maximum is of something else.</summary>
    private static string? LayerOf(Node wait, PassContext context)
    {
        var nodes = Ancestors.Of(StartOf(wait).Inputs[0]!);
        var parameters = nodes.SelectMany(n => n.Inputs).OfType<Value>().Where(v => v.IsGraphInput && v.Initializer is null).Distinct().ToList();
        if (nodes.Any(n => n.Facts.Role is Operators.OperatorRole.Collective) || parameters.Count != 1)
        {
            context.Skip(wait, "not the maximum of one parameter's rows");
            return null;
        }
        return LayerNumber().Match(parameters[0].Name).Value;
    }

    [GeneratedRegex(@"\blayers\.\d+\.")]
    private static partial Regex LayerNumber();
}
