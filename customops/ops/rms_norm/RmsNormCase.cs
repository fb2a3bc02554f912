using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every rank, sizes that no vector width divides, several tasks; each type; zeros, tiny and huge rows, outliers, NaN and Inf.</summary>
public sealed class RmsNormCase() : OpCase("RmsNorm")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 256", random =>
            Call(HostTensor.Normal(random, Tiny.Tokens, Tiny.Hidden), HostTensor.Normal(random, Tiny.Hidden), 1e-5f, ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(2, Tiny.Tokens * Tiny.Hidden),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [1], [7], [1, 1], [4, 1], [3, 5], [2, 3, 17], [5, 288], [130, 300], [3, 20000] })
            yield return Call(HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes[^1]), 1e-6f, ElementType.Float, "");
        foreach (var type in FloatTypes)
        {
            yield return Call(HostTensor.Normal(random, 5, 33), HostTensor.Normal(random, 33), 1e-5f, type, $"{type}");
            yield return Call(HostTensor.Normal(random, 2, 20000), HostTensor.Normal(random, 20000), 1e-5f, type, $"{type}, long rows");
        }
        yield return Call(new HostTensor([2, 20], new float[40]), HostTensor.Normal(random, 20), 1e-6f, ElementType.Float, "zeros");
        yield return Call(new HostTensor([2, 20], new float[40]), HostTensor.Normal(random, 20), 0, ElementType.Float, "zeros without epsilon");
        foreach (var size in new[] { 1e-25f, 1e-4f, 1e15f })
            yield return Call(Times(HostTensor.Normal(random, 3, 40), size), HostTensor.Normal(random, 40), 1e-6f, ElementType.Float, $"times {size}");
        foreach (var value in new[] { -1e6f, float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            var x = HostTensor.Normal(random, 3, 40);
            x.Elements[40 + 17] = value;
            yield return Call(x, HostTensor.Normal(random, 40), 1e-6f, ElementType.Float, $"with {value}");
        }
        foreach (var type in FloatTypes)
            yield return WithMaxima(Call(HostTensor.Normal(random, 5, 33), HostTensor.Normal(random, 33), 1e-5f, type, $"{type}"));
    }

    /// <summary>y and invRms in float64; a row of <paramref name="x"/> is as long as <paramref name="weight"/>.</summary>
    public static (double[] Y, double[] InvRms) Forward(double[] x, double[] weight, float epsilon)
    {
        var (y, invRms) = (new double[x.Length], new double[x.Length / weight.Length]);
        for (var row = 0; row < invRms.Length; row++)
        {
            var squares = 0.0;
            for (var i = 0; i < weight.Length; i++)
                squares += x[row * weight.Length + i] * x[row * weight.Length + i];
            invRms[row] = 1 / Math.Sqrt(squares / weight.Length + epsilon);
            for (var i = 0; i < weight.Length; i++)
                y[row * weight.Length + i] = x[row * weight.Length + i] * invRms[row] * weight[i];
        }
        return (y, invRms);
    }

    private static OpCall Call(HostTensor x, HostTensor weight, float epsilon, ElementType type, string what) => new(
        $"{x} {what}", [x, weight],
        (build, inputs) =>
        {
            var typed = InType(build, inputs, type);
            var (y, invRms) = build.RmsNorm(typed[0], typed[1], epsilon, "norm");
            return [y, invRms];
        },
        () => Oracle(Read(x, type), Read(weight, type), epsilon, type));

    /// <summary>
    /// A sum of C squares in float32 is off by at most C units of roundoff, the root halves that; then at most 8 more roundings, and one to a
    /// type of 16 bits.
    /// </summary>
    private static Expected[] Oracle(double[] x, double[] weight, float epsilon, ElementType type)
    {
        var (y, invRms) = Forward(x, weight, epsilon);
        var relative = (weight.Length / 2.0 + 8) * Epsilon;
        return [new(y, i => relative * Math.Abs(y[i]) + Rounding(y[i], type)), new(invRms, i => relative * invRms[i])];
    }

    private static HostTensor Times(HostTensor x, float size) => x with { Elements = Array.ConvertAll(x.Elements, v => v * size) };
}
