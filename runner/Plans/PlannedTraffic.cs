using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Operators;
using Halo.Runner.Distributed;

namespace Halo.Runner.Plans;

/// <summary>What a rank sends in collectives of one operator, group and type.</summary>
/// <param name="Collective">The operator that starts them.</param>
/// <param name="Group">Whose ranks take part: world, node or peers.</param>
/// <param name="Type">Of their elements, by its name.</param>
/// <param name="Count">How many there are.</param>
/// <param name="Bytes">Sent to other ranks.</param>
internal sealed record TrafficPart(string Collective, string Group, string Type, long Count, long Bytes);

/// <summary>What one rank sends for one update, read off its graphs: what communicators count.</summary>
/// <param name="Parts">By operator, group and type.</param>
internal sealed record PlannedTraffic(IReadOnlyList<TrafficPart> Parts)
{
    public long Bytes => Parts.Sum(p => p.Bytes);

    /// <param name="graphs">The rank's.</param>
    /// <param name="microBatches">Runs of the training graph for an update.</param>
    public static PlannedTraffic Of(RankGraphs graphs, int microBatches)
    {
        var parts = In(graphs.Training.Graph, microBatches);
        if (graphs.Training.Graph.Inputs.All(i => i.Name != OptimizerInBackward.PreviousNorm))
        {
            var norm = GradientGraphs.Norm(graphs.Interface.Updated, graphs.Interface.ParameterType, PartSums.Over(graphs.Rows.Plan));
            parts = parts.Concat(In(norm.Graph, 1)).Concat(In(graphs.Optimizer.Graph, 1));
        }
        return new PlannedTraffic([.. parts.GroupBy(p => (p.Collective, p.Group, p.Type))
            .Select(g => new TrafficPart(g.Key.Collective, g.Key.Group, g.Key.Type, g.Sum(p => p.Count), g.Sum(p => p.Bytes)))
            .OrderBy(p => (p.Collective, p.Group, p.Type))]);
    }

    /// <summary>Of one run of an evaluation graph.</summary>
    public static PlannedTraffic Of(Graph graph) => new([.. In(graph, 1)]);

    private static IEnumerable<TrafficPart> In(Graph graph, int runs) =>
        from node in graph.Nodes
        where node.Facts.Role is OperatorRole.Collective && node.OpType != nameof(CollectiveWait)
        select new TrafficPart(node.OpType, node.String("group", "world"), node.Inputs[0]!.Type.Name(), runs, runs * CollectiveBytes.SentBy(node));
}
