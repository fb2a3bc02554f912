using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every pair of transpose flags and of formats, sizes that no vector width divides, each type of the product.</summary>
public sealed class ScaledMatMulCase() : OpCase("ScaledMatMul")
{
    private static readonly (NumberFormat A, NumberFormat B)[] Formats =
    [
        (NumberFormat.E4M3, NumberFormat.E4M3), (NumberFormat.E5M2, NumberFormat.E4M3), (NumberFormat.Int8, NumberFormat.Int8),
        (NumberFormat.E3M2, NumberFormat.E3M2), (NumberFormat.E3M2, NumberFormat.Int8),
    ];

    public override IEnumerable<OpBenchmark> Benchmarks => new[] { NumberFormat.E4M3, NumberFormat.Int8 }.Select(format =>
        new OpBenchmark($"{OpType} A B^T", $"{format}", "2048 x 704 x 256",
            random => Call(random, Tiny.Tokens, Tiny.Ffn, Tiny.Hidden, format, format, false, true, ElementType.Float))
        {
            Operations = 2.0 * Tiny.Tokens * Tiny.Ffn * Tiny.Hidden,
        });

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var to in FloatTypes.Skip(1))
            foreach (var (formatA, formatB) in Formats.Take(3))
                yield return Call(random, 9, 6, 35, formatA, formatB, false, true, to);
        foreach (var (m, n, k) in new[] { (1, 1, 1), (3, 5, 19), (24, 17, 704) })
            foreach (var (formatA, formatB) in Formats)
                foreach (var (transA, transB) in new[] { (false, false), (false, true), (true, false), (true, true) })
                    yield return Call(random, m, n, k, formatA, formatB, transA, transB, ElementType.Float);
        foreach (var to in FloatTypes)
            foreach (var (formatA, formatB) in Formats.Take(3))
                yield return Call(random, 9, 6, 35, formatA, formatB, false, true, to, adds: true);
    }

    private static OpCall Call(
        Random random, int m, int n, int k, NumberFormat formatA, NumberFormat formatB, bool transA, bool transB, ElementType to,
        bool adds = false)
    {
        var a = transA ? HostTensor.Normal(random, k, m) : HostTensor.Normal(random, m, k);
        var b = transB ? HostTensor.Normal(random, n, k) : HostTensor.Normal(random, k, n);
        var inputs = adds ? (HostTensor[])[a, b, HostTensor.Normal(random, m, n)] : [a, b];
        var what = (to == ElementType.Float ? "" : $" in {to}") + (adds ? " added to" : "");
        return new OpCall($"{formatA} {a} {transA} times {formatB} {b} {transB}{what}", inputs,
            (build, inputs) =>
            {
                var (qa, scaleA) = build.Quantize(inputs[0], formatA, "a");
                var (qb, scaleB) = build.Quantize(inputs[1], formatB, "b");
                return [build.ScaledMatMul(qa, scaleA, qb, scaleB, transA, transB, "product", to, adds ? InType(build, inputs.Skip(2), to)[0] : null)];
            },
            () =>
            {
                var (codesA, codesB) = (CodeTable.Quantize(formatA, a.Elements), CodeTable.Quantize(formatB, b.Elements));
                var isFloat8 = formatA != NumberFormat.Int8 && formatB != NumberFormat.Int8;
                var largest = (double)formatA.QMax * codesA.Scale * formatB.QMax * codesB.Scale;
                return [Oracle(codesA, codesB, m, n, k, transA, transB, to, adds ? Read(inputs[2], to) : null) with { OnGpu = _ => isFloat8 ? Cut(largest, k) : 0 }];
            });
    }

    /// <summary>Hopper's matrix units cut the products of a float8 sum at 13 bits below the largest of 32 neighbours. [DeepSeek-V3, 3.3.2]</summary>
    private static double Cut(double largest, int k) => Math.ScaleB(largest, -13) * Math.Ceiling(k / 32.0);

    /// <summary>k products summed in float32, the product of the scales and the scaling: k + 2 roundings of at most the sum of magnitudes, one
    /// more with an addend.</summary>
    private static Expected Oracle(
        (double[] Values, float Scale) a, (double[] Values, float Scale) b, int m, int n, int k, bool transA, bool transB, ElementType to,
        double[]? addend)
    {
        var (y, magnitudes) = (new double[m * n], new double[m * n]);
        for (var i = 0; i < m; i++)
        {
            for (var j = 0; j < n; j++)
            {
                for (var l = 0; l < k; l++)
                {
                    var term = a.Values[transA ? l * m + i : i * k + l] * b.Values[transB ? j * k + l : l * n + j] * a.Scale * b.Scale;
                    y[i * n + j] += term;
                    magnitudes[i * n + j] += Math.Abs(term);
                }
                y[i * n + j] += addend?[i * n + j] ?? 0;
                magnitudes[i * n + j] += Math.Abs(addend?[i * n + j] ?? 0);
            }
        }
        return new Expected(y, i => (k + 3) * Epsilon * magnitudes[i] + Rounding(y[i], to));
    }
}
