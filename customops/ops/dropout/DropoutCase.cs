using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Sizes around a block of four words, each type, seeds and streams at their ends, nothing dropped and nearly all, NaN, Inf; bits are exact.</summary>
public sealed class DropoutCase() : OpCase("Dropout")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float, 7, 1, 0.1f, 0))
        {
            Bytes = Tiny.Tensors(2, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [], [0, 3], [3], [4], [5, 7], [2, 3, 17], [40, 1001] })
            yield return Call(HostTensor.Normal(random, sizes), ElementType.Float, 7, 1, 0.1f, 0);
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 9, 33), type, 12, 3, 0.5f, 2);
        foreach (var (seed, step, stream) in new[]
                 {
                     (0L, 0L, 0L), (-5L, 1L << 24, 0xFFFFFFFFL), (3L << 40, (1L << 33) + (1L << 12), 1L), (-(1L << 62), -2L, 77L),
                 })
        {
            yield return Call(HostTensor.Normal(random, 6, 11), ElementType.Float, seed, step, 0.3f, stream);
        }
        foreach (var ratio in new[] { 0f, 1e-7f, 0.99999994f })
            yield return Call(HostTensor.Normal(random, 8, 8), ElementType.Float, 7, 1, ratio, 0);
        float[] special = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, -0f, float.NaN, 1e-45f, 3e38f, 1];
        yield return Call(new([8], special), ElementType.Float, 7, 1, 0.5f, 0);
    }

    private static OpCall Call(HostTensor x, ElementType type, long seed, long step, float ratio, long stream) =>
        new($"{x} {type} seed {seed} step {step} ratio {ratio} stream {stream}", [x, new([], [seed]), new([], [step])],
            (build, inputs) =>
            {
                Value Id(int i) => Cast(build, inputs[i], ElementType.Int64, $"{inputs[i].Name}/cast");
                return [build.Dropout(InType(build, [inputs[0]], type)[0], Id(1), Id(2), ratio, stream, "dropout")];
            },
            () =>
            {
                var (read, threshold) = (Read(x, type), Math.Floor(ratio * 4294967296.0));
                double Kept(int i) => Bits.Round((float)read[i] / (1 - ratio), type);
                return [new([.. read.Select((_, i) => Word(seed, (uint)step, (uint)stream, i) < threshold ? 0 : Kept(i))], _ => 0)];
            });

    /// <summary>The word of an element, round by round in 64 bits.</summary>
    private static uint Word(long seed, uint step, uint stream, long element)
    {
        var (c0, c1, c2, c3) = ((uint)(element / 4), (uint)(element / 4 >> 32), step, stream);
        for (var round = 0u; round < 10; round++)
        {
            var (p0, p2) = (0xD2511F53ul * c0, 0xCD9E8D57ul * c2);
            (c0, c1, c2, c3) = ((uint)(p2 >> 32) ^ c1 ^ ((uint)seed + round * 0x9E3779B9), (uint)p2,
                (uint)(p0 >> 32) ^ c3 ^ ((uint)(seed >> 32) + round * 0xBB67AE85), (uint)p0);
        }
        return new[] { c0, c1, c2, c3 }[element % 4];
    }
}
