using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Groups of one rank, in which every collective is the identity: any type and rank, no elements, what is not finite.</summary>
/// <remarks>Groups of more need several sessions: <c>tests/CustomOps/CollectiveTests.cs</c>.</remarks>
public abstract class AloneCase(string opType, Func<GraphBuilder, Value, Value> start) : OpCase(opType)
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float))
        {
            Bytes = 8.0 * Tiny.Tokens * Tiny.Ffn,
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [1], [3, 5], [0, 4], [2, 3, 17], [40, 101] })
            yield return Call(HostTensor.Normal(random, sizes), ElementType.Float);
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 5, 33), type);
        yield return Call(new([4], [float.NaN, float.PositiveInfinity, -0f, 1e-45f]), ElementType.Float);
    }

    private OpCall Call(HostTensor x, ElementType type) => new($"{x} {type}", [x],
        (build, inputs) => [start(build, InType(build, inputs, type)[0])], () => [new(Read(x, type), _ => 0)]);
}

/// <inheritdoc/>
public sealed class AllGatherStartCase() : AloneCase("AllGatherStart", (build, x) =>
    build.CollectiveWait(build.AllGatherStart(x, [x.Shape![0].Size!.Value], 0, "world", "gather"), [], "wait"));

/// <inheritdoc/>
public sealed class AllToAllStartCase() : AloneCase("AllToAllStart", (build, x) =>
    build.CollectiveWait(build.AllToAllStart(x, [x.Shape![0].Size!.Value], 0, "node", "exchange"), [], "wait"));

/// <inheritdoc/>
public sealed class ReduceScatterStartCase() : AloneCase("ReduceScatterStart", (build, x) =>
    build.CollectiveWait(build.ReduceScatterStart(x, [x.Shape![0].Size!.Value], 0, "peers", "reduce"), [], "wait"));

/// <inheritdoc/>
public sealed class AllReduceStartCase() : AloneCase("AllReduceStart", (build, x) =>
    build.CollectiveWait(build.AllReduceStart(x, "max", 1, 0, "world", "reduce"), [], "wait"));

/// <summary>Of values that are not pending; after none, one and two others.</summary>
public sealed class CollectiveWaitCase() : OpCase("CollectiveWait")
{
    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var type in FloatTypes)
        {
            for (var after = 0; after < 3; after++)
                yield return Call(HostTensor.Normal(random, 5, 33), [.. Enumerable.Range(0, after).Select(_ => HostTensor.Normal(random, 2, 2))], type);
        }
    }

    private static OpCall Call(HostTensor x, HostTensor[] after, ElementType type) => new($"{x} {type} after {after.Length}", [x, .. after],
        (build, inputs) =>
        {
            var typed = InType(build, inputs, type);
            return [build.CollectiveWait(typed[0], typed[1..], "wait")];
        }, () => [new(Read(x, type), _ => 0)]);
}
