using System.Globalization;
using System.Text.Json;
using Halo.CustomOps;
using Halo.Io;
using Halo.Runner.Distributed;
using Halo.Runner.Memory;
using Halo.Runner.Plans;

namespace Halo.Runner.Runs;

/// <summary>What the ranks of a run sent and waited for, beside what was planned.</summary>
internal static class MeasuredTraffic
{
    private sealed record OfRank(IReadOnlyList<CollectiveCount> Counts, IReadOnlyList<CollectiveCount> Evaluations, long MemoryPeak);

    /// <summary>What collectives have cost since <paramref name="before"/>.</summary>
    public static IReadOnlyList<CollectiveCount> Since(IReadOnlyList<CollectiveCount> before, IReadOnlyList<CollectiveCount> after) =>
        Sum([.. after, .. before.Select(c => c with { Count = -c.Count, Bytes = -c.Bytes, Seconds = -c.Seconds, WaitSeconds = -c.WaitSeconds })]);

    /// <summary>Of each collective, group and type what all cost; without those of which there were none.</summary>
    public static IReadOnlyList<CollectiveCount> Sum(IReadOnlyList<CollectiveCount> counts) =>
        [.. counts.GroupBy(c => (c.Collective, c.Group, c.Type)).Select(g => new CollectiveCount(g.Key.Collective, g.Key.Group, g.Key.Type, g.Sum(c => c.Count),
            g.Sum(c => c.Bytes), g.Sum(c => c.Seconds), g.Sum(c => c.WaitSeconds))).Where(c => c.Count > 0)];

    /// <summary>Lines for log and report; all ranks ask for them together.</summary>
    /// <param name="world">The ranks.</param>
    /// <param name="planned">This rank's for an update.</param>
    /// <param name="updates">Done by this process.</param>
    /// <param name="evaluations">What evaluations have cost this rank: no part of updates.</param>
    public static IReadOnlyList<string> Lines(World world, PlannedTraffic planned, int updates, IReadOnlyList<CollectiveCount> evaluations)
    {
        var own = new OfRank(Since(evaluations, world.Communicator.Counters()), evaluations, PeakMemory());
        var all = Array.ConvertAll(world.Gather("what was sent", JsonSerializer.SerializeToUtf8Bytes(own, JsonText.LogLine)),
            said => JsonSerializer.Deserialize<OfRank>(said, JsonText.LogLine)!);
        var counts = all.SelectMany(a => a.Counts).ToList();
        var (ran, waited) = (counts.Sum(c => c.Seconds), counts.Sum(c => c.WaitSeconds));
        return
        [
            .. own.Counts.Select(c => $"rank {world.Rank.Index} sent {MemorySize.Text(c.Bytes / updates)} an update by {c.Collective} over {c.Group}, {c.Type}"
                + $" ({MemorySize.Text(planned.Parts.FirstOrDefault(p => (p.Collective, p.Group, p.Type) == (c.Collective, c.Group, c.Type))?.Bytes ?? 0)} planned)"),
            .. own.Evaluations.Select(c => $"rank {world.Rank.Index} sent {MemorySize.Text(c.Bytes)} for evaluations by {c.Collective} over {c.Group}, {c.Type}"),
            string.Create(CultureInfo.InvariantCulture,
                $"collectives ran {ran / all.Length / updates * 1e3:F1} ms an update and rank; {Math.Max(0, 1 - (waited / ran)):P0} of it behind computation"),
            $"memory of the processes, at the most: {string.Join(", ", all.Select((a, rank) => $"rank {rank} {MemorySize.Text(a.MemoryPeak)}"))}",
        ];
    }

    /// <summary>The most that this process had in memory (VmHWM); what it has where the system does not say.</summary>
    private static long PeakMemory()
    {
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
