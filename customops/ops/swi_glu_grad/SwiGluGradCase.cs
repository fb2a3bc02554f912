using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every rank, sizes that no vector width divides, several tasks; each type; gates far from zero on both sides, NaN and Inf.</summary>
public sealed class SwiGluGradCase() : OpCase("SwiGluGrad")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "2048 x 704", random => Call(random, HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), ElementType.Float, ""))
        {
            Bytes = Tiny.Tensors(5, Tiny.Tokens * Tiny.Ffn),
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var sizes in new long[][] { [], [1], [7], [3, 5], [2, 3, 17], [40, 1001] })
            yield return Call(random, HostTensor.Normal(random, sizes), ElementType.Float, "");
        foreach (var type in FloatTypes)
            yield return Call(random, HostTensor.Normal(random, 5, 33), type, $"{type}");
        yield return Call(random, SwiGluCase.Gates(), ElementType.Float, "from -120 to 120");
        yield return Call(random, new HostTensor([4], [float.NaN, float.PositiveInfinity, float.NegativeInfinity, 0]), ElementType.Float, "not finite",
            isSmooth: false);
        foreach (var type in FloatTypes)
        {
            yield return OfCodes(random, type, 7, 33);
            yield return WithMaxima(OfCodes(random, type, 2, 70));
            yield return WithY(OfCodes(random, type, 3, 50), x => Kept(x, type), type);
            yield return WithY(Call(random, HostTensor.Normal(random, 5, 33), type, $"{type}"), x => Read(x, type), type);
        }
        yield return OfCodes(random, ElementType.Float, 3, 128);
        foreach (var type in FloatTypes)
            yield return WithMaxima(Call(random, HostTensor.Normal(random, 5, 33), type, $"{type}"));
    }

    /// <summary>Gate and up as codes: the gradients at what those stand for.</summary>
    private static OpCall OfCodes(Random random, ElementType type, params long[] sizes)
    {
        var (dy, gate, up) = (HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes), HostTensor.Normal(random, sizes));
        return new OpCall($"{gate} {type} of codes", [dy, gate, up],
            (build, inputs) =>
            {
                var error = InType(build, inputs.Take(1), type)[0];
                var typed = InType(build, inputs.Skip(1), type);
                var (dGate, dUp) = build.SwiGluGrad(error, typed[0], typed[1], "gradient");
                dGate.Producer!.ReadCodes(build.QuantizeBlocks(typed[0], "gates"), build.QuantizeBlocks(typed[1], "ups"));
                return [dGate, dUp];
            },
            () => Oracle(Read(dy, type), Kept(gate, type), Kept(up, type), type));
    }

    /// <summary>What codes of a tensor stand for.</summary>
    private static double[] Kept(HostTensor x, ElementType type)
    {
        var (codes, scales) = QuantizeBlocksCase.Quantize(Array.ConvertAll(x.Elements, v => Bits.Round(v, type)));
        return [.. codes.Select((c, i) => (double)(c * scales[i / (int)QuantizeBlocks.BlockSize]))];
    }

    /// <summary>The same call of a node that gives its maxima and SwiGlu's Y as well.</summary>
    private OpCall WithY(OpCall call, Func<HostTensor, double[]> read, ElementType type)
    {
        var largest = WithMaxima(call);
        return new($"{largest.Name} and Y", call.Inputs,
            (build, inputs) => [.. build.SwiGluGradWithY(largest.Build(build, inputs)[0].Producer!, "again").Outputs],
            () => [.. largest.Oracle(), SwiGluCase.Oracle(read(call.Inputs[1]), read(call.Inputs[2]), type)]);
    }

    private static OpCall Call(Random random, HostTensor gate, ElementType type, string what, bool isSmooth = true)
    {
        var (dy, up) = (HostTensor.Normal(random, gate.Sizes), HostTensor.Normal(random, gate.Sizes));
        var (readDy, readGate, readUp) = (Read(dy, type), Read(gate, type), Read(up, type));
        return new OpCall($"{gate} {what}", [dy, gate, up],
            (build, inputs) =>
            {
                var typed = InType(build, inputs, type);
                var (dGate, dUp) = build.SwiGluGrad(typed[0], typed[1], typed[2], "gradient");
                return [dGate, dUp];
            },
            () => Oracle(readDy, readGate, readUp, type))
        {
            GradientOf = isSmooth
                ? new ScalarFunction([readGate, readUp], p => p[0].Zip(p[1], SwiGluCase.Forward).Zip(readDy, (y, d) => y * d).Sum())
                : null,
        };
    }

    /// <summary>
    /// s is off by at most 6 units of roundoff, and so is 1 - s, which gate multiplies; 8 more roundings. Where e^-gate overflows, s is 0 and its
    /// value below 2^-126.
    /// </summary>
    private static Expected[] Oracle(double[] dy, double[] gate, double[] up, ElementType type)
    {
        var (dGate, dUp, tolerance) = (new double[dy.Length], new double[dy.Length], new double[dy.Length]);
        for (var i = 0; i < dy.Length; i++)
        {
            var s = 1 / (1 + Math.Exp(-gate[i]));
            dGate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
            dUp[i] = dy[i] * gate[i] * s;
            var flushed = Math.ScaleB((1 + Math.Abs(dy[i])) * (1 + Math.Abs(up[i])) * (1 + Math.Abs(gate[i])), -126);
            tolerance[i] = 14 * Epsilon * Math.Abs(dy[i] * up[i] * s) * (1 + Math.Abs(gate[i])) + flushed;
        }
        return
        [
            new(dGate, i => tolerance[i] + Rounding(dGate[i], type)),
            new(dUp, i => 9 * Epsilon * Math.Abs(dUp[i]) + Math.ScaleB(1 + Math.Abs(dy[i] * gate[i]), -126) + Rounding(dUp[i], type)),
        ];
    }
}
