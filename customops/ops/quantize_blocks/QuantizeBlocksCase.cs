using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Each type and rank, counts around whole blocks; zeros, tiny and huge blocks, outliers, ties. Codes and scales must be equal, not close.</summary>
public sealed class QuantizeBlocksCase() : OpCase("QuantizeBlocks")
{
    private const int Block = (int)QuantizeBlocks.BlockSize;

    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float))
        {
            Bytes = 5.03 * Tiny.Tokens * Tiny.Ffn,
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [], [1], [127], [128], [129], [3, 128], [2, 3, 77], [5, 3001] })
            yield return Call(HostTensor.Normal(random, sizes), ElementType.Float);
        foreach (var type in FloatTypes)
            yield return Call(HostTensor.Normal(random, 6, 100), type, "types");
        yield return Call(new([2, 128], new float[256]), ElementType.Float, "zeros");
        yield return Call(new([6], [1e-40f, -3e-41f, 1.4e-45f, 0, 1e-37f, -1e-38f]), ElementType.Float, "subnormal");
        yield return Call(new([4], [1.17549435e-38f * 127, -1e-36f, 1e-37f, 3e-38f]), ElementType.Float, "scale near the smallest normal");
        yield return Call(new([4], [float.MaxValue, -float.MaxValue, 1e38f, -1e36f]), ElementType.Float, "huge");
        yield return Call(new([256], [.. Enumerable.Range(0, 256).Select(i => i == 0 ? 127 : (i % 128) - 63.5f)]), ElementType.Float, "ties");
        var outlier = HostTensor.Normal(random, 3, 200);
        outlier.Elements[140] = -1e4f;
        yield return Call(outlier, ElementType.Float, "an outlier");
    }

    private static OpCall Call(HostTensor x, ElementType type, string what = "normal") => new($"{x} {type} {what}", [x],
        (build, inputs) =>
        {
            var (codes, scales) = build.QuantizeBlocks(InType(build, inputs, type)[0], "blocks");
            return [codes, scales];
        },
        () =>
        {
            var (codes, scales) = Quantize(Array.ConvertAll(x.Elements, v => Bits.Round(v, type)));
            return [new([.. codes.Select(c => (double)c)], _ => 0), new([.. scales.Select(s => (double)s)], _ => 0)];
        });

    /// <summary>In float32, as the operator promises.</summary>
    internal static (sbyte[] Codes, float[] Scales) Quantize(float[] x)
    {
        var (codes, scales) = (new sbyte[x.Length], new float[(x.Length + Block - 1) / Block]);
        for (var b = 0; b < scales.Length; b++)
        {
            var elements = x.AsSpan(b * Block, Math.Min(Block, x.Length - (b * Block)));
            var largest = 0f;
            foreach (var v in elements)
                largest = Math.Max(largest, Math.Abs(v));
            var isTiny = largest / 127 < 1.17549435e-38f;
            var inverse = isTiny ? 1 : 127 / largest;
            scales[b] = isTiny ? 1 : largest / 127;
            for (var i = 0; i < elements.Length; i++)
                codes[(b * Block) + i] = (sbyte)MathF.Round(elements[i] * inverse, MidpointRounding.ToEven);
        }
        return (codes, scales);
    }
}
