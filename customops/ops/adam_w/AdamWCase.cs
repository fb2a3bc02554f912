namespace Halo.CustomOps.Cases;

/// <summary>Every size of a pack's end, with decay and without, at the first step and later. Bits must be those of float32 operations one by one.</summary>
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
    }

    private static OpCall Call(Random random, long[] sizes, float factor, float stepSize, float root2, float? keep, string what)
    {
        var (p, g, m, v) = (HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes),
            HostTensor.Normal(random, sizes));
        v = new(sizes, Array.ConvertAll(v.Elements, x => x * x));
        float[] scalars = keep is { } kept ? [factor, stepSize, root2, kept] : [factor, stepSize, root2];
        return new OpCall($"{p} {what}", [p, g, m, v, .. scalars.Select(s => new HostTensor([], [s]))],
            (model, build, x) =>
            {
                var (newP, newM, newV) = build.AdamW(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x.Count > 7 ? x[7] : null, 0.9, 0.999, 1e-8, "adamw");
                return [newP, newM, newV];
            },
            () => Oracle(p.Elements, g.Elements, m.Elements, v.Elements, factor, stepSize, root2, keep));
    }

    /// <summary>Float32, one rounding an operation; C# contracts none.</summary>
    private static Expected[] Oracle(float[] p, float[] gradients, float[] m, float[] v, float factor, float stepSize, float root2, float? keep)
    {
        var (newP, newM, newV) = (new double[p.Length], new double[p.Length], new double[p.Length]);
        for (var i = 0; i < p.Length; i++)
        {
            var g = gradients[i] * factor;
            var mi = m[i] * Beta1 + g * Rest1;
            var vi = v[i] * Beta2 + g * g * Rest2;
            var direction = mi / (MathF.Sqrt(vi) / root2 + Small);
            (newP[i], newM[i], newV[i]) = ((keep is { } k ? p[i] * k : p[i]) - direction * stepSize, mi, vi);
        }
        return [new(newP, _ => 0), new(newM, _ => 0), new(newV, _ => 0)];
    }
}
