using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every format and type; blocks of one element to whole rows, zeros, tiny blocks, an outlier, what is not finite. Codes must be equal.</summary>
public sealed class QuantizeRowsCase() : OpCase("QuantizeRows")
{
    internal static readonly NumberFormat[] Formats = [NumberFormat.E4M3, NumberFormat.E5M2, NumberFormat.Int8];

    public override IEnumerable<OpBenchmark> Benchmarks => Formats.Select(format => new OpBenchmark(
        OpType, $"{format}", "2048 x 704", random => Call("normal", HostTensor.Normal(random, Tiny.Tokens, Tiny.Ffn), format, 64, ElementType.Float))
    { Bytes = 5.0 * Tiny.Tokens * Tiny.Ffn });

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var format in Formats)
        {
            foreach (var type in FloatTypes)
                yield return Call("normal", HostTensor.Normal(random, 6, 192), format, 64, type);
            yield return Call("rank 3", HostTensor.Normal(random, 2, 3, 10), format, 15, ElementType.Float);
            yield return Call("single elements", HostTensor.Normal(random, 3, 7), format, 1, ElementType.Float);
            yield return Call("zeros and tiny", new HostTensor([2, 4], [0, 0, 0, 0, 1e-40f, -3e-41f, 1.4e-45f, 0]), format, 4, ElementType.Float);
            yield return Call("outlier", new HostTensor([1, 8], [1, -2, 3, -1e4f, 1e-3f, 2e-3f, -3e-3f, 0]), format, 4, ElementType.Float);
            yield return Call("not finite", new HostTensor([1, 9], [1, 2, float.NaN, float.PositiveInfinity, 1, -1, 4, -5, 6]), format, 3, ElementType.Float);
        }
    }

    private static OpCall Call(string what, HostTensor x, NumberFormat format, int block, ElementType type) => new($"{format} {what} {x} {type} by {block}", [x],
        (build, inputs) =>
        {
            var (codes, scales) = build.QuantizeRows(InType(build, inputs, type)[0], format, block, "quantize");
            return [codes, scales];
        },
        () =>
        {
            var blocks = Array.ConvertAll(x.Elements, v => Bits.Round(v, type)).Chunk(block).Select(elements => elements.All(float.IsFinite)
                ? CodeTable.Quantize(format, elements) : (Values: new double[block], Scale: float.NaN)).ToList();
            return [new([.. blocks.SelectMany(b => b.Values)], _ => 0), new([.. blocks.Select(b => (double)b.Scale)], _ => 0)];
        });
}

/// <summary>One part to four, of every format; sums are those of float64 but for a rounding each.</summary>
public sealed class SumRowsCase() : OpCase("SumRows")
{
    public override IEnumerable<OpBenchmark> Benchmarks => QuantizeRowsCase.Formats.Select(format => new OpBenchmark(
        OpType, $"{format}", "2 x 2048 x 704", random => Call(HostTensor.Normal(random, 2 * Tiny.Tokens, Tiny.Ffn), format, 64, 2))
    { Bytes = 6.0 * Tiny.Tokens * Tiny.Ffn });

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var format in QuantizeRowsCase.Formats)
        {
            for (var parts = 1; parts <= 4; parts++)
                yield return Call(HostTensor.Normal(random, 2 * parts, 3, 64), format, 64, parts);
            yield return Call(HostTensor.Normal(random, 6, 10), format, 5, 3);
        }
    }

    private static OpCall Call(HostTensor x, NumberFormat format, int block, int parts) => new($"{format} {x} by {block} of {parts}", [x],
        (build, inputs) =>
        {
            var (codes, scales) = build.QuantizeRows(inputs[0], format, block, "quantize");
            return [build.SumRows(codes, scales, block, parts, "sum")];
        },
        () =>
        {
            var blocks = x.Elements.Chunk(block).Select(elements => CodeTable.Quantize(format, elements));
            var numbers = blocks.SelectMany(b => b.Values.Select(v => v * b.Scale)).ToArray();
            var count = numbers.Length / parts;
            double[] Terms(int i) => [.. Enumerable.Range(0, parts).Select(part => numbers[(part * count) + i])];
            return [new([.. Enumerable.Range(0, count).Select(i => Terms(i).Sum())], i => 2 * parts * Epsilon * Terms(i).Sum(Math.Abs))];
        });
}
