using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>
/// Every size of a pack's end, with decay and without, at the first step and later, in float32 and rounded to bfloat16. Bits must be those of float32 operations
/// one by one.
/// </summary>
public sealed class AdamWCase() : OpCase("AdamW")
{
    private const float Beta1 = 0.9f, Rest1 = (float)(1 - 0.9), Beta2 = 0.999f, Rest2 = (float)(1 - 0.999), Small = 1e-8f;

    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(random, [Tiny.Tokens, Tiny.Ffn], 1, 1e-3f, 0.0316f, null, ""))
        {
            Bytes = Tiny.Tensors(7, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [1], [3], [4], [5, 7], [64, 33], [40000] })
            yield return Call(random, sizes, 1, 1e-3f, 0.0316f, null, $"{sizes.Length} axes");
        yield return Call(random, [11, 9], 0.25f, 5e-4f, 0.7f, 0.999f, "with decay");
        yield return Call(random, [2, 9], 0, 5e-4f, 0.7f, 0.999f, "a gradient of zeros");
        yield return Call(random, [5], float.NaN, 5e-4f, 0.7f, 0.999f, "no number");
        foreach (var gradient in new[] { ElementType.BFloat16, ElementType.Float })
        {
            foreach (var sizes in new long[][] { [1], [8], [5, 7], [3, 1001] })
                yield return Call(random, sizes, 1, 1e-3f, 0.0316f, null, $"rounded, {gradient}", new Chance(gradient, 4, 77, 2));
            yield return Call(random, [11, 9], 0.25f, 5e-4f, 0.7f, 0.999f, $"rounded, {gradient}, with decay",
                new Chance(gradient, 70000, (1L << 40) + 3, 145));
        }
    }

    /// <summary>How results in bfloat16 are rounded.</summary>
    private sealed record Chance(ElementType Gradient, uint Step, long Seed, uint Tensor);

    private static OpCall Call(Random random, long[] sizes, float factor, float stepSize, float root2, float? keep, string what,
        Chance? chance = null)
    {
        var (p, g, m, v) = (HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes),
            HostTensor.Normal(random, sizes));
        v = new(sizes, Array.ConvertAll(v.Elements, x => x * x));
        float[] scalars = keep is { } kept ? [factor, stepSize, root2, kept] : [factor, stepSize, root2];
        var (type, gradientType) = (chance is null ? ElementType.Float : ElementType.BFloat16, chance?.Gradient ?? ElementType.Float);
        return new OpCall($"{p} {what}", [p, g, m, v, .. scalars.Select(s => new HostTensor([], [s]))],
            (build, x) =>
            {
                var typed = InType(build, [x[0], x[2], x[3]], type);
                Value Number(string name, long value) => build.Constant(name, Tensor.Scalar(value));
                var (newP, newM, newV) = build.AdamW(typed[0], InType(build, [x[1]], gradientType)[0], typed[1], typed[2], x[4], x[5], x[6],
                    x.Count > 7 ? x[7] : null, 0.9, 0.999, 1e-8, "adamw",
                    chance is null ? null : (Number("step", chance.Step), Number("seed", chance.Seed), chance.Tensor));
                return [newP, newM, newV];
            },
            () => Oracle(Floats(p, type), Floats(g, gradientType), Floats(m, type), Floats(v, type), factor, stepSize, root2, keep, chance));
    }

    /// <summary>Float32, one rounding an operation; C# contracts none.</summary>
    private static Expected[] Oracle(float[] p, float[] gradients, float[] m, float[] v, float factor, float stepSize, float root2, float? keep,
        Chance? chance)
    {
        var (newP, newM, newV) = (new double[p.Length], new double[p.Length], new double[p.Length]);
        for (var i = 0; i < p.Length; i++)
        {
            var g = gradients[i] * factor;
            var mi = m[i] * Beta1 + g * Rest1;
            var vi = v[i] * Beta2 + g * g * Rest2;
            var direction = mi / ((chance is null ? MathF.Sqrt(vi) / root2 : MathF.Sqrt(vi) * (1 / root2)) + Small);
            var pi = (keep is { } k ? p[i] * k : p[i]) - direction * stepSize;
            (newP[i], newM[i], newV[i]) = chance is null ? (pi, mi, vi) : (Rounded(pi, i, chance, 0), Rounded(mi, i, chance, 3), Rounded(vi, i, chance, 5));
        }
        return [new(newP, _ => 0), new(newM, _ => 0), new(newV, _ => 0)];
    }

    private static float[] Floats(HostTensor x, ElementType type) => Array.ConvertAll(Read(x, type), v => (float)v);

    private static float Rounded(float x, int element, Chance chance, int shift) => BitConverter.UInt32BitsToSingle(
        (BitConverter.SingleToUInt32Bits(x) + RandomHalf(element, shift, chance.Step, chance.Seed, chance.Tensor)) & 0xFFFF0000u);

    /// <summary>The 16 bits that an element's result is rounded by, as the remarks of <see cref="ChanceRounding"/> say, in integers.</summary>
    internal static uint RandomHalf(int element, int shift, uint step, long seed, uint tensor)
    {
        var words = Philox([(uint)element / 8, 0, step, 0x80000000u + tensor], (uint)seed, (uint)(seed >> 32));
        var half = (element + shift) % 8;
        return words[half / 2] >> (half % 2 * 16) & 0xFFFF;
    }

    private static uint[] Philox(uint[] c, uint key0, uint key1)
    {
        for (var round = 0; round < 10; round++, key0 += 0x9E3779B9, key1 += 0xBB67AE85)
        {
            var (even, odd) = ((ulong)0xD2511F53 * c[0], (ulong)0xCD9E8D57 * c[2]);
            c = [(uint)(odd >> 32) ^ c[1] ^ key0, (uint)odd, (uint)(even >> 32) ^ c[3] ^ key1, (uint)even];
        }
        return c;
    }
}
