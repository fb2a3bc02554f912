using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Each type of X; no element, one, and many; what is not finite. The bits are those of three operations in float32.</summary>
public sealed class WeightedSumCase() : OpCase("WeightedSum")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn),
            1, 0.5f, ElementType.Float))
        {
            Bytes = Tiny.Tensors(3, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var type in FloatTypes)
        {
            foreach (var sizes in new long[][] { [], [1], [0, 3], [7], [3, 41], [5, 3001] })
                yield return Call(HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), 1, 0.3f, type);
            yield return Call(HostTensor.Normal(random, 1000), HostTensor.Normal(random, 1000), 0, 1e-3f, type);
        }
        yield return Call(new([3], [1, float.NaN, 2]), new([3], [float.NegativeInfinity, 1, 2]), 1, 1, ElementType.BFloat16);
    }

    private static OpCall Call(HostTensor sum, HostTensor x, float keep, float weight, ElementType type) =>
        new($"{sum}, {x} {type} keep {keep}", [sum, x, new([], [keep]), new([], [weight])],
            (build, inputs) => [build.WeightedSum(inputs[0], InType(build, [inputs[1]], type)[0], inputs[2], inputs[3], "sum")],
            () =>
            {
                var read = Read(x, type);
                double[] y = [.. sum.Elements.Select((s, i) => (double)((s * keep) + ((float)read[i] * weight)))];
                return [new(y, _ => 0)];
            });
}
