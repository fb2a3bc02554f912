using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Codes of tensors of each rank, counts around whole blocks, to each type; a block that is not finite is NaN as a whole.</summary>
public sealed class DequantizeBlocksCase() : OpCase("DequantizeBlocks")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float))
        {
            Bytes = 5.03 * Tiny.Tokens * Tiny.Ffn,
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [], [1], [127], [128], [129], [2, 3, 77], [5, 3001] })
            yield return Call(HostTensor.Normal(random, sizes), ElementType.Float);
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 6, 100), type);
        foreach (var bad in (float[])[float.NaN, float.PositiveInfinity, float.NegativeInfinity])
        {
            yield return new($"{bad}", [new([128], [.. Enumerable.Range(0, 128).Select(i => i == 5 ? bad : i)])],
                (build, inputs) => [build.DequantizeBlocks(build.QuantizeBlocks(inputs[0], "q").Codes, build.QuantizeBlocks(inputs[0], "s").Scales,
                    ElementType.Float, "numbers")],
                () => [new([.. Enumerable.Repeat(double.NaN, 128)], _ => 0)]);
        }
    }

    private static OpCall Call(HostTensor x, ElementType type) => new($"{x} {type}", [x],
        (build, inputs) =>
        {
            var (codes, scales) = build.QuantizeBlocks(inputs[0], "blocks");
            return [build.DequantizeBlocks(codes, scales, type, "numbers")];
        },
        () =>
        {
            var (codes, scales) = QuantizeBlocksCase.Quantize(x.Elements);
            return [new([.. codes.Select((c, i) => (double)Bits.Round(c * scales[i / (int)QuantizeBlocks.BlockSize], type))], _ => 0)];
        });
}
