using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Whole blocks and a block's end, with decay and without, parameters of both types, what is tiny and what is not finite. Bits must be equal.</summary>
public sealed class AdamW8BitCase() : OpCase("AdamW8Bit")
{
    private const float Beta1 = 0.9f, Rest1 = (float)(1 - 0.9), Beta2 = 0.999f, Rest2 = (float)(1 - 0.999), Small = 1e-8f;

    private const long Step = 5, Seed = (3L << 32) + 9, Number = 17;

    private const int Block = (int)QuantizeBlocks.BlockSize;

    private static readonly CodeTable Table = CodeTable.Of(NumberFormat.E4M3);

    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(random, [Tiny.Tokens, Tiny.Ffn], 1, null, ElementType.Float, ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(4, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (type, gradient) in new[] { (ElementType.Float, ElementType.Float), (ElementType.BFloat16, ElementType.Float),
            (ElementType.BFloat16, ElementType.BFloat16) })
        {
            foreach (var sizes in new long[][] { [1], [128], [5, 77], [3, 1001] })
                yield return Call(random, sizes, 1, null, type, gradient, $"{type}, {gradient}");
            yield return Call(random, [11, 29], 0.25f, 0.999f, type, gradient, $"{type}, {gradient}, with decay");
        }
        yield return Call(random, [2, 99], 0, null, ElementType.Float, ElementType.Float, "a gradient of zeros");
        yield return Call(random, [2, 99], 1e-38f, null, ElementType.Float, ElementType.Float, "a tiny gradient");
        yield return Call(random, [5], float.NaN, null, ElementType.Float, ElementType.Float, "no number");
    }

    private static OpCall Call(Random random, long[] sizes, float factor, float? keep, ElementType type, ElementType gradientType, string what)
    {
        var (p, g) = (HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes));
        HostTensor Codes(bool signed) => new(sizes, Array.ConvertAll(HostTensor.Normal(random, sizes).Elements,
            x => CodeOf(Table.Round(100 * (signed ? x : Math.Abs(x))))));
        var scaleSizes = new[] { (p.Elements.Length + Block - 1L) / Block };
        HostTensor Scales(float size) => new(scaleSizes, [.. Enumerable.Range(0, (int)scaleSizes[0]).Select(_ => size * (1 + random.NextSingle()))]);
        var (m, mScales, v, vScales) = (Codes(true), Scales(1e-3f), Codes(false), Scales(1e-2f));
        if (float.IsFinite(factor) && factor < 1e-30f) // moments that fade
            (mScales, vScales) = (Scales(1e-38f), Scales(1e-30f));
        float[] scalars = [factor, 1e-3f, 0.7f, .. keep is { } kept ? [kept] : Array.Empty<float>()];
        return new OpCall($"{p} {what}", [p, g, m, mScales, v, vScales, .. scalars.Select(s => new HostTensor([], [s]))],
            (build, x) =>
            {
                Value Code(int i, string name) => Cast(build, x[i], ElementType.UInt8, name);
                Value Constant(string name, long value) => build.Constant(name, Tensor.Scalar(value));
                return [.. build.AdamW8Bit([InType(build, [x[0]], type)[0], InType(build, [x[1]], gradientType)[0], Code(2, "mCodes"), x[3], Code(4, "vCodes"), x[5],
                    x[6], x[7], x[8], Constant("step", Step), Constant("seed", Seed), .. x.Skip(9)], 0.9, 0.999, 1e-8, Number, "adamw")];
            },
            () => Oracle(Array.ConvertAll(Read(p, type), x => (float)x), Array.ConvertAll(Read(g, gradientType), x => (float)x), m.Elements, mScales.Elements,
                v.Elements, vScales.Elements, factor, keep, type));
    }

    /// <summary>Float32, one rounding an operation; C# contracts none.</summary>
    private static Expected[] Oracle(float[] p, float[] gradients, float[] m, float[] mScales, float[] v, float[] vScales, float factor, float? keep,
        ElementType type)
    {
        var count = p.Length;
        var (newP, newM, root) = (new float[count], new float[count], new float[count]);
        for (var i = 0; i < count; i++)
        {
            var (g, oldM, oldRoot) = (gradients[i] * factor, NumberOf(m[i]) * mScales[i / Block], NumberOf(v[i]) * vScales[i / Block]);
            var vi = oldRoot * oldRoot * Beta2 + g * g * Rest2;
            newM[i] = oldM * Beta1 + g * Rest1;
            root[i] = MathF.Sqrt(vi);
            var direction = newM[i] / (root[i] * (1 / 0.7f) + Small);
            var pi = (keep is { } k ? p[i] * k : p[i]) - direction * 1e-3f;
            newP[i] = type == ElementType.Float ? pi
                : BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(pi) + BitsOf(i, 0)) & 0xFFFF0000u);
        }
        var (mCodes, newMScales) = Rounded(newM, 3, isRoot: false);
        var (vCodes, newVScales) = Rounded(root, 5, isRoot: true);
        return [Exactly(newP), Exactly(mCodes), Exactly(newMScales), Exactly(vCodes), Exactly(newVScales)];
    }

    private static Expected Exactly(float[] values) => new(Array.ConvertAll(values, x => (double)x), _ => 0);

    private static uint BitsOf(int element, int shift) => AdamWCase.RandomHalf(element, shift, (uint)Step, Seed, (uint)Number);

    /// <summary>The bits of a number of E4M3, as a number.</summary>
    private static float CodeOf(double x) => Array.Find(Table.Entries, e => e.Value == Math.Abs(x)).Code + (double.IsNegative(x) ? 128 : 0);

    private static float NumberOf(float code) => (float)Array.Find(Table.Entries, e => e.Value >= 0 && e.Code == (int)code % 128).Value * (code < 128 ? 1 : -1);

    /// <summary>By distances in float64.</summary>
    private static (float[] Codes, float[] Scales) Rounded(float[] x, int shift, bool isRoot)
    {
        var (codes, scales) = (new float[x.Length], new List<float>());
        foreach (var (block, values) in x.Chunk(Block).Index())
        {
            var (largest, finite) = (values.Max(Math.Abs), values.All(float.IsFinite));
            var exact = largest / 448f;
            var isTiny = exact < 1.17549435e-38f;
            scales.Add(!finite ? float.NaN : isTiny ? 1 : exact);
            for (var i = 0; finite && i < values.Length; i++)
            {
                var (at, scaled) = (block * Block + i, values[i] * (isTiny ? 1 : 448f / largest));
                double size = Math.Abs(scaled), step = size < Math.ScaleB(1, -6) ? Math.ScaleB(1, -9) : Math.ScaleB(1, Math.ILogB(size) - 3);
                var steps = Math.Floor((Math.Floor(size / step * 65536) + BitsOf(at, shift)) / 65536);
                var rounded = Math.Min(448, steps * step);
                codes[at] = CodeOf(isRoot && rounded == 0 && scaled > 0 ? Math.ScaleB(1, -9) : Math.CopySign(rounded, scaled));
            }
        }
        return (codes, [.. scales]);
    }
}
