using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every rank, sizes that no vector width divides, several tasks and pieces; each type; zeros, outliers, NaN and Inf.</summary>
public sealed class RmsNormGradCase() : OpCase("RmsNormGrad")
{
    private const float NormEpsilon = 1e-5f;

    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 256", random => Call(random, HostTensor.Normal(random, Tiny.Tokens, Tiny.Hidden), ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(3, Tiny.Tokens * Tiny.Hidden),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [1], [7], [1, 1], [4, 1], [3, 5], [2, 3, 17], [5, 288], [130, 300], [3000, 5], [3, 20000] })
            yield return Call(random, HostTensor.Normal(random, sizes), ElementType.Float, "");
        foreach (var type in FloatTypes)
            yield return Call(random, HostTensor.Normal(random, 70, 33), type, $"{type}");
        yield return Call(random, new HostTensor([2, 20], new float[40]), ElementType.Float, "zeros");
        foreach (var value in new[] { -1e6f, float.NaN, float.PositiveInfinity })
        {
            var x = HostTensor.Normal(random, 3, 40);
            x.Elements[40 + 17] = value;
            yield return Call(random, x, ElementType.Float, $"with {value}", isSmooth: false);
        }
        foreach (var type in FloatTypes)
        {
            yield return WithMaxima(Call(random, HostTensor.Normal(random, 70, 33), type, $"{type}"));
            yield return WithMaxima(Call(random, HostTensor.Normal(random, 70, 33), type, $"{type} added to", adds: true));
        }
    }

    private static OpCall Call(Random random, HostTensor x, ElementType type, string what, bool isSmooth = true,
        bool adds = false)
    {
        var (dy, weight) = (HostTensor.Normal(random, x.Sizes), HostTensor.Normal(random, x.Sizes[^1]));
        var (readDy, readX, readWeight) = (Read(dy, type), Read(x, type), Read(weight, type));
        var rows = new HostTensor(x.Sizes[..^1], Array.ConvertAll(RmsNormCase.Forward(readX, readWeight, NormEpsilon).InvRms, v => (float)v));
        var addend = adds ? HostTensor.Normal(random, x.Sizes) : null;
        return new OpCall($"{x} {what}", addend is not null ? [dy, x, weight, rows, addend] : [dy, x, weight, rows],
            (build, inputs) =>
            {
                var typed = InType(build, inputs.Take(3), type);
                var (dx, dWeight) = build.RmsNormGrad(typed[0], typed[1], typed[2], inputs[3], "gradient",
                    adds ? InType(build, inputs.Skip(4), type)[0] : null);
                return [dx, dWeight];
            },
            () => Oracle(readDy, readX, readWeight, rows.Elements, addend is not null ? Read(addend, type) : null, type))
        {
            GradientOf = isSmooth && !adds
                ? new ScalarFunction([readX, readWeight], p => RmsNormCase.Forward(p[0], p[1], NormEpsilon).Y.Zip(readDy, (y, d) => y * d).Sum())
                : null,
        };
    }

    /// <summary>
    /// dX: a mean of C products, off by C + 4 units of roundoff of the mean of magnitudes, and at most 8 roundings of each term.
    /// dWeight: a sum over R rows, off by R + 4 units of the sum of magnitudes.
    /// </summary>
    private static Expected[] Oracle(double[] dy, double[] x, double[] weight, float[] invRms, double[]? addend, ElementType type)
    {
        var columns = weight.Length;
        var (dx, dxMagnitude) = (new double[x.Length], new double[x.Length]);
        var (dWeight, dWeightMagnitude) = (new double[columns], new double[columns]);
        for (var row = 0; row < invRms.Length; row++)
        {
            double scale = invRms[row], mean = 0, meanMagnitude = 0;
            for (var i = row * columns; i < (row + 1) * columns; i++)
            {
                var (g, n) = (dy[i] * weight[i % columns], x[i] * scale);
                mean += g * n / columns;
                meanMagnitude += Math.Abs(g * n) / columns;
                dWeight[i % columns] += dy[i] * n;
                dWeightMagnitude[i % columns] += Math.Abs(dy[i] * n);
            }
            for (var i = row * columns; i < (row + 1) * columns; i++)
            {
                var (g, n) = (dy[i] * weight[i % columns], x[i] * scale);
                dx[i] = scale * (g - n * mean) + (addend?[i] ?? 0);
                dxMagnitude[i] = scale * (8 * Math.Abs(g) + (columns + 12) * Math.Abs(n) * meanMagnitude) + Math.Abs(addend?[i] ?? 0);
            }
        }
        return
        [
            new(dx, i => Epsilon * dxMagnitude[i] + Rounding(dx[i], type)),
            new(dWeight, i => (invRms.Length + 4) * Epsilon * dWeightMagnitude[i] + Rounding(dWeight[i], type)),
        ];
    }
}
