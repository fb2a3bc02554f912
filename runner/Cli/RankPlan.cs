using System.Globalization;
using System.Text.Json.Nodes;
using Halo.Ir;
using Halo.Passes.Sharding;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Cli;

/// <summary>What <c>halo plan --ranks N</c> says: a rank's memory, and what an update sends, by collective and type.</summary>
/// <param name="Plan">What is split; the first rank, which has most.</param>
/// <param name="Memory">Of that rank.</param>
/// <param name="Traffic">Of that rank, for an update.</param>
/// <param name="MicroBatches">It runs for an update.</param>
/// <param name="Multiplications">Of its products, for an update.</param>
/// <param name="RowsIn">Parts of the graph in which rows that tokens look up are sent in place of their table.</param>
internal sealed record RankPlan(
    ShardPlan Plan, MemoryPlan Memory, PlannedTraffic Traffic, int MicroBatches, double Multiplications, IReadOnlyList<string> RowsIn)
{
    /// <summary>As it was asked for: of adapters it is the base that is split.</summary>
    private ShardMode Mode => Plan.Base == ShardMode.None ? Plan.Mode : Plan.Base;

    private int Nodes => Plan.Ranks / Plan.NodeRanks;

    /// <param name="config">Of the run.</param>
    /// <param name="training">Its training graph.</param>
    /// <param name="ranks">How many ranks there are.</param>
    /// <param name="nodes">On how many machines.</param>
    /// <exception cref="HaloException">Ranks do not divide among machines, or rows among ranks.</exception>
    public static RankPlan Of(TrainConfig config, Model training, int ranks, int nodes)
    {
        if (nodes < 1 || ranks < 1 || ranks % nodes != 0)
            throw new HaloException("plan", "ranks", "1 or more, as many on each of --nodes", $"{ranks} on {nodes}", "Give a multiple of --nodes.");
        if (config.Fit == MemoryFit.Auto)
            throw new HaloException("plan", "fit", "none with --ranks, whose levers are named", "auto", "Give --recompute, and see what a rank takes.");
        var plan = RankGraphs.PlanOf(config, ranks, 0, ranks / nodes);
        var whole = TrainingInterface.Of(training.Graph, config.Model, config.Device);
        RankGraphs.Require("plan", config, whole.HasAdapters);
        if (whole.HasAdapters)
            plan = plan.OfAdapters();
        var rows = config.BatchSize ?? (ranks * whole.Rows);
        var microBatches = Math.Max(1, (rows + (ranks * whole.Rows) - 1) / (ranks * whole.Rows));
        var evaluation = config.Valid is null ? null : Sources.EvaluationGraph.Of(training.Clone());
        var graphs = RankGraphs.Of(plan, training, evaluation, OptimizerSettings.Of(config), config.Device, microBatches > 1,
            config.OptimizerInBackward);
        var memory = MemoryPlan.Of(graphs.Interface, graphs.Training.Graph, graphs.Evaluation?.Graph, graphs.Optimizer.Graph, updates: true, microBatches > 1,
            config.Device, config.Attention);
        return new RankPlan(plan, memory, PlannedTraffic.Of(graphs, microBatches), microBatches,
            microBatches * MemoryLevers.Multiplications(graphs.Training.Graph), ExchangeRows.PartsOf(graphs.Training.Graph));
    }

    public IEnumerable<string> Lines(LinkSpeed? link, double? teraflops)
    {
        yield return $"{Plan.Ranks} ranks on {Nodes} machine{(Nodes == 1 ? "" : "s")}, shard {Mode.ToString().ToLowerInvariant()}, "
            + $"{MicroBatches} micro-batch{(MicroBatches == 1 ? "" : "es")} each an update; rank 0:";
        foreach (var line in MemoryText.Table(Memory))
            yield return line;
        yield return "";
        yield return "sent to other ranks for an update:";
        if (RowsIn.Count > 0)
            yield return $"(rows that tokens look up, in place of their table, {string.Join(" and ", RowsIn)})";
        foreach (var part in Traffic.Parts)
            yield return $"{MemorySize.Text(part.Bytes),11}  {part.Count} x {part.Collective} over {part.Group}, {part.Type}";
        yield return $"{MemorySize.Text(Traffic.Bytes),11}  in all";
        if (link is not null)
            yield return Invariant($"{link.Seconds(Traffic, Nodes) * 1e3:F1} ms of collectives, one after the other");
        if (teraflops is { } rate)
            yield return Invariant($"{Compute(rate) * 1e3:F1} ms of products at {rate} TFLOP/s");
        if (link is not null && teraflops is { } both)
        {
            var (sent, computed) = (link.Seconds(Traffic, Nodes), Compute(both));
            yield return Invariant($"{Math.Max(sent, computed) * 1e3:F1} ms an update where one hides the other, {(sent + computed) * 1e3:F1} ms where not");
        }
    }

    public JsonObject Json(LinkSpeed? link, double? teraflops)
    {
        var json = MemoryText.Json(Memory);
        (json["ranks"], json["nodes"], json["shard"], json["micro_batches"]) =
            (Plan.Ranks, Nodes, Mode.ToString().ToLowerInvariant(), MicroBatches);
        json["lookups_by_rows"] = new JsonArray([.. RowsIn.Select(part => JsonValue.Create(part))]);
        json["sent_bytes"] = Traffic.Bytes;
        json["sent"] = new JsonArray([.. Traffic.Parts.Select(p => new JsonObject
        {
            ["collective"] = p.Collective,
            ["group"] = p.Group,
            ["type"] = p.Type,
            ["count"] = p.Count,
            ["bytes"] = p.Bytes,
        })]);
        json["collective_seconds"] = link?.Seconds(Traffic, Nodes);
        json["product_seconds"] = teraflops is { } rate ? Compute(rate) : null;
        return json;
    }

    private double Compute(double teraflops) => 2 * Multiplications / (teraflops * 1e12);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
