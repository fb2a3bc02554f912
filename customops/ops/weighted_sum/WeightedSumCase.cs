using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>
/// Each type of X; no element, one, and many; what is not finite; sums that are not kept. The bits are those of three operations in float32, and of rounding by
/// chance where the sum is bfloat16.
/// </summary>
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
            {
                yield return Call(HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), 1, 0.3f, type);
                yield return Call(HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), 1, 0.3f, type, new Chance(4, 77, 2));
            }
            yield return Call(HostTensor.Normal(random, 1000), HostTensor.Normal(random, 1000), 0, 1e-3f, type);
            yield return Call(HostTensor.Normal(random, 1000), HostTensor.Normal(random, 1000), 0.5f, 1e-3f, type, new Chance(70000, (1L << 40) + 3, 145));
        }
        foreach (var chance in new[] { null, new Chance(1, 2, 3) })
        {
            yield return Call(new([3], [1, float.NaN, 2]), new([3], [float.NegativeInfinity, 1, 2]), 1, 1, ElementType.BFloat16, chance);
            yield return Call(new([2], [float.NaN, float.PositiveInfinity]), new([2], [1.25f, -3]), 0, 1, ElementType.BFloat16, chance);
        }
    }

    /// <summary>How a sum in bfloat16 is rounded.</summary>
    private sealed record Chance(uint Step, long Seed, uint Tensor);

    private static OpCall Call(HostTensor sum, HostTensor x, float keep, float weight, ElementType type, Chance? chance = null) =>
        new($"{sum}, {x} {type} keep {keep}{(chance is null ? "" : " in bfloat16")}", [sum, x, new([], [keep]), new([], [weight])],
            (build, inputs) =>
            {
                Value Number(string name, long value) => build.Constant(name, Tensor.Scalar(value));
                return [build.WeightedSum(InType(build, [inputs[0]], SumType(chance))[0], InType(build, [inputs[1]], type)[0], inputs[2], inputs[3], "sum",
                    chance is null ? null : (Number("step", chance.Step), Number("seed", chance.Seed), chance.Tensor))];
            },
            () =>
            {
                var (before, read) = (Read(sum, SumType(chance)), Read(x, type));
                double[] y = [.. before.Select((s, i) => (double)Rounded(((keep == 0 ? 0 : (float)s) * keep) + ((float)read[i] * weight), i, chance))];
                return [new(y, _ => 0)];
            });

    private static ElementType SumType(Chance? chance) => chance is null ? ElementType.Float : ElementType.BFloat16;

    private static float Rounded(float y, int element, Chance? chance) => chance is null || float.IsNaN(y) ? y : BitConverter.UInt32BitsToSingle(
        (BitConverter.SingleToUInt32Bits(y) + AdamWCase.RandomHalf(element, 0, chance.Step, chance.Seed, (1u << 29) + chance.Tensor)) & 0xFFFF0000u);
}
