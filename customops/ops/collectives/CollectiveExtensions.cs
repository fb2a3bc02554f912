using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Makes nodes of collectives.</summary>
public static class CollectiveExtensions
{
    /// <summary>Starts to collect all rows of a tensor of which <paramref name="x"/> is this rank's part.</summary>
    public static Value AllGatherStart(this GraphBuilder build, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        Start(build, nameof(CustomOps.AllGatherStart), x, rows, rank, group, name);

    /// <summary>Starts to sum <paramref name="x"/> over the ranks, and to give each rank its rows.</summary>
    public static Value ReduceScatterStart(this GraphBuilder build, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        Start(build, nameof(CustomOps.ReduceScatterStart), x, rows, rank, group, name);

    /// <summary>Starts to give each rank its rows of every rank's <paramref name="x"/>.</summary>
    public static Value AllToAllStart(this GraphBuilder build, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        Start(build, nameof(CustomOps.AllToAllStart), x, rows, rank, group, name);

    /// <summary>Starts to combine <paramref name="x"/> of all ranks by <paramref name="op"/>, sum or max.</summary>
    public static Value AllReduceStart(this GraphBuilder build, Value x, string op, int ranks, int rank, string group, string name) =>
        HaloOperators.Call(build, name, nameof(CustomOps.AllReduceStart), [x], 1, Overload(ranks),
            Attribute.Of("op", op), Attribute.Of("ranks", (long)ranks), Attribute.Of("rank", (long)rank), Attribute.Of("group", group)).Output;

    /// <summary>
    /// What a collective gives, when it is there; also after <paramref name="after"/> are computed or, if they are pending themselves, started.
    /// What the collective reads is kept until then.
    /// </summary>
    public static Value CollectiveWait(this GraphBuilder build, Value pending, IReadOnlyList<Value> after, string name)
    {
        var read = pending.Producer is { OpType: not nameof(CustomOps.AllGatherStart) } start ? start.Inputs[0] : null;
        Value[] kept = read is null || after.Contains(read) ? [.. after] : [read, .. after];
        return HaloOperators.Call(build, name, nameof(CustomOps.CollectiveWait), [pending, .. kept], 1, kept.Length == 0 ? "" : $"{kept.Length}").Output;
    }

    private static Value Start(GraphBuilder build, string opType, Value x, IReadOnlyList<long> rows, int rank, string group, string name) =>
        HaloOperators.Call(build, name, opType, [x], 1, Overload(rows.Count),
            Attribute.Of("rows", [.. rows]), Attribute.Of("rank", (long)rank), Attribute.Of("group", group)).Output;

    private static string Overload(int ranks) => ranks == 1 ? CollectiveOperator.Alone : "";
}
