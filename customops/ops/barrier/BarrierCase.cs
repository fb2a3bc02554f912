using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every type and rank; one to three tensors to wait for, NaN and Inf among their elements.</summary>
public sealed class BarrierCase() : OpCase("Barrier")
{
    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [], [1], [3, 5], [0, 4], [2, 3, 17], [40, 1001] })
            yield return Call(HostTensor.Normal(random, sizes), ElementType.Float, [HostTensor.Normal(random, 3)]);
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 5, 33), type, [HostTensor.Normal(random), HostTensor.Normal(random, 2, 2), new([1], [float.NaN])]);
        yield return Call(new([4], [float.NaN, float.PositiveInfinity, -0f, 1e-45f]), ElementType.Float, [new([2], [float.NegativeInfinity, 1])]);
    }

    private static OpCall Call(HostTensor x, ElementType type, HostTensor[] after) => new($"{x} {type} after {string.Join(" ", after.AsEnumerable())}",
        [x, .. after], (build, inputs) =>
        {
            var typed = InType(build, inputs, type);
            return [build.Barrier(typed[0], typed[1..], "barrier")];
        }, () => [new(Read(x, type), _ => 0)]);
}
