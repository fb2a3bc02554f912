using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every rank, sizes that no vector width divides, several tasks; each type; gates far from zero on both sides, NaN and Inf.</summary>
public sealed class SwiGluCase() : OpCase("SwiGlu")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(random, HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(3, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [], [1], [7], [3, 5], [2, 3, 17], [40, 1001] })
            yield return Call(random, HostTensor.Normal(random, sizes), ElementType.Float, "");
        foreach (var type in FloatTypes)
            yield return Call(random, HostTensor.Normal(random, 5, 33), type, $"{type}");
        yield return Call(random, Gates(), ElementType.Float, "from -120 to 120");
        yield return Call(random, new HostTensor([4], [float.NaN, float.PositiveInfinity, float.NegativeInfinity, 0]), ElementType.Float, "not finite");
        foreach (var type in FloatTypes)
            yield return WithMaxima(Call(random, HostTensor.Normal(random, 5, 33), type, $"{type}"));
    }

    /// <summary>Every eighth from -120 to 120: e^-gate overflows at one end and vanishes at the other.</summary>
    public static HostTensor Gates() => new([1921], [.. Enumerable.Range(-960, 1921).Select(i => i / 8f)]);

    public static double Forward(double gate, double up) => gate / (1 + Math.Exp(-gate)) * up;

    private static OpCall Call(Random random, HostTensor gate, ElementType type, string what)
    {
        var up = HostTensor.Normal(random, gate.Sizes);
        return new($"{gate} {what}", [gate, up],
            (build, inputs) =>
            {
                var typed = InType(build, inputs, type);
                return [build.SwiGlu(typed[0], typed[1], "unit")];
            },
            () => [Oracle(Read(gate, type), Read(up, type), type)]);
    }

    /// <summary>
    /// e^-x within 2 units in the last place, which are 4 of roundoff, and at most 5 more roundings; where e^-x overflows, y is 0 and its value
    /// below 2^-126 of what it was multiplied with.
    /// </summary>
    internal static Expected Oracle(double[] gate, double[] up, ElementType type)
    {
        var y = gate.Zip(up, Forward).ToArray();
        return new(y, i => 9 * Epsilon * Math.Abs(y[i]) + Math.ScaleB(1 + Math.Abs(gate[i] * up[i]), -126) + Rounding(y[i], type));
    }
}
