using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Sharding;

/// <summary>Makes pairs of a collective's start and the wait for it.</summary>
internal static class Collectives
{
    public const string World = "world", Node = "node", Peers = "peers";

    /// <summary>The rows of all parts, from those of this one.</summary>
    public static Value Gather(this GraphBuilder build, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        build.CollectiveWait(build.AllGatherStart(x, rows, rank, group, name + "/start"), [], name);

    /// <summary>This part's rows of the sum over the ranks.</summary>
    public static Value ScatterSum(this GraphBuilder build, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        build.CollectiveWait(build.ReduceScatterStart(x, rows, rank, group, name + "/start"), [], name);

    /// <summary>This part's rows of every rank, one rank's behind the other's.</summary>
    public static Value Exchange(this GraphBuilder build, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        build.CollectiveWait(build.AllToAllStart(x, rows, rank, group, name + "/start"), [], name);

    /// <summary>The sum, or the largest element of each place, over a group of ranks.</summary>
    public static Value Reduce(this GraphBuilder build, Value x, string op, int ranks, int rank, string group, string name) =>
        build.CollectiveWait(build.AllReduceStart(x, op, ranks, rank, group, name + "/start"), [], name);

    /// <summary>Whether what starts is an exchange of rows that a split table was looked up for.</summary>
    public static bool IsOfLookup(Node start) => start.Is(nameof(AllToAllStart), HaloDomain.Name) && start.Inputs[0]!.Producer is { } rows && rows.Is("Gather");

    /// <summary>The start of the gather that gives a value; null where it comes from something else.</summary>
    public static Node? GatherOf(Value value) => value.Producer is { } wait && wait.Is(nameof(CollectiveWait), HaloDomain.Name)
        && wait.Inputs[0]!.Producer is { } start && start.Is(nameof(AllGatherStart), HaloDomain.Name) ? start : null;
}
