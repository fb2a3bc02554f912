using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every code, every tie, random values; zeros, tiny and huge tensors, outliers; each type; both orders. Codes must be equal, not close.</summary>
public sealed class QuantizeCase() : OpCase("Quantize")
{
    public override IEnumerable<OpBenchmark> Benchmarks => NumberFormat.All.Select(format => new OpBenchmark(
        OpType, $"{format}", "2048 x 704", random => Call(format, "normal", HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn)))
    { Bytes = 9.0 * Tiny.Tokens * Tiny.Ffn });

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var format in NumberFormat.All)
        {
            yield return Call(format, "every code and tie", new HostTensor([CodesAndTies(format).Length], CodesAndTies(format)));
            yield return Call(format, "random over all binades", new HostTensor([100, 1000], LogUniform(random, format, 100_000)));
            yield return Call(format, "normal", HostTensor.Normal(random, 72, 96));
            yield return Call(format, "one", HostTensor.Normal(random, 1, 1));
            yield return Call(format, "rank 3", HostTensor.Normal(random, 2, 3, 5));
            yield return Call(format, "zeros", new HostTensor([2, 3], new float[6]));
            yield return Call(format, "subnormal", new HostTensor([2, 2], [1e-40f, -3e-41f, 1.4e-45f, 0]));
            yield return Call(format, "scale near the smallest normal", new HostTensor([4], [1.17549435e-38f * format.QMax, -1e-36f, 1e-37f, 3e-38f]));
            yield return Call(format, "scale below the smallest normal", new HostTensor([2], [0.5e-38f * format.QMax, -1e-37f]));
            yield return Call(format, "huge", new HostTensor([4], [float.MaxValue, -float.MaxValue, 1e38f, -1e36f]));
            yield return Call(format, "outlier", Outlier(HostTensor.Normal(random, 3, 704)));
            foreach (var type in FloatTypes)
                yield return Both(format, HostTensor.Normal(random, 70, 33), type);
            yield return Both(format, HostTensor.Normal(random, 1, 5), ElementType.Float);
            yield return Call(format, "bfloat16", HostTensor.Normal(random, 4, 64), ElementType.BFloat16);
            yield return Call(format, "float16", HostTensor.Normal(random, 4, 64), ElementType.Float16);
        }
        foreach (var format in NumberFormat.All)
        {
            foreach (var type in FloatTypes)
                yield return Both(format, HostTensor.Normal(random, 70, 33), type, isGiven: true);
        }
    }

    private static OpCall Call(NumberFormat format, string what, HostTensor x, ElementType type = ElementType.Float) => new(
        $"{format} {what}", [x],
        (build, inputs) =>
        {
            var input = type == ElementType.Float ? inputs[0] : Cast(build, inputs[0], type, "cast");
            var (codes, scale) = build.Quantize(input, format, "quantize");
            return [codes, scale];
        },
        () =>
        {
            var rounded = Array.ConvertAll(x.Elements, v => Bits.Round(v, type));
            var (values, scale) = CodeTable.Quantize(format, rounded);
            return [new Expected(values, _ => 0), new Expected([scale], _ => 0)];
        });

    private static OpCall Both(NumberFormat format, HostTensor x, ElementType type, bool isGiven = false) => new(
        $"{format} {x} {type} in both orders" + (isGiven ? ", the maximum given" : ""),
        isGiven ? [x, new HostTensor([], [Array.ConvertAll(x.Elements, v => Math.Abs(Bits.Round(v, type))).Max()])] : [x],
        (build, inputs) =>
        {
            var (codes, scale, transposed) = build.QuantizeBoth(InType(build, inputs.Take(1), type)[0], format, "quantize", isGiven ? inputs[1] : null);
            return [codes, scale, transposed];
        },
        () =>
        {
            var (rows, columns) = ((int)x.Sizes[0], (int)x.Sizes[1]);
            var (values, scale) = CodeTable.Quantize(format, Array.ConvertAll(x.Elements, v => Bits.Round(v, type)));
            double[] turned = [.. Enumerable.Range(0, values.Length).Select(i => values[i % rows * columns + i / rows])];
            return [new Expected(values, _ => 0), new Expected([scale], _ => 0), new Expected(turned, _ => 0)];
        });

    /// <summary>Contains qmax, so that the scale is 1: each code, the middle between neighbours, and the floats next to it.</summary>
    private static float[] CodesAndTies(NumberFormat format)
    {
        var codes = CodeTable.Of(format).Entries.Select(e => (float)e.Value).ToArray();
        var middles = codes.Zip(codes.Skip(1), (a, b) => (a + b) / 2).ToArray();
        return [.. codes, .. middles, .. middles.Select(MathF.BitIncrement), .. middles.Select(MathF.BitDecrement)];
    }

    private static float[] LogUniform(Random random, NumberFormat format, int count)
    {
        float Next() => (float)(format.QMax * Math.Pow(2, -24 * random.NextDouble()) * (random.Next(2) == 0 ? 1 : -1));
        var x = Enumerable.Range(0, count).Select(_ => Next()).ToArray();
        x[0] = format.QMax;
        return x;
    }

    private static HostTensor Outlier(HostTensor x)
    {
        x.Elements[7] = -1e4f;
        return x;
    }
}
