using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Along each axis, forth and back, in every format and type and in both orders. Codes must be equal, not close.</summary>
/// <remarks>Whole numbers in blocks of 4, 64, 256 and 4096, whose factors have signs times a power of two: sums are exact, and an oracle in float64 has the same codes.</remarks>
public sealed class HadamardQuantizeCase() : OpCase("HadamardQuantize")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new OpBenchmark($"{OpType} axis 1, 256", "e4m3", $"{Tiny.Tokens} x {Tiny.Hidden}", random =>
            Call(Whole(random, Tiny.Tokens, Tiny.Hidden), 1, [Tiny.Hidden], false, NumberFormat.E4M3, ElementType.Float, transposed: true))
        {
            Bytes = 6.0 * Tiny.Tokens * Tiny.Hidden,
        },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var format in NumberFormat.All)
        {
            foreach (var type in FloatTypes)
            {
                yield return Call(Whole(random, 70, 64), 1, [64], false, format, type, transposed: true);
                yield return Call(Whole(random, 64, 33), 0, [64], true, format, type, transposed: false);
                yield return Call(Whole(random, 24, 256), 1, [256], false, format, type, transposed: true);
            }
            yield return Call(Whole(random, 21, 5), 0, [16, 4, 1], false, format, ElementType.Float, transposed: true);
            yield return Call(Whole(random, 3, 512), 1, [256, 256], false, format, ElementType.BFloat16, transposed: false);
            yield return Call(Whole(random, 1, 1), 1, [1], false, format, ElementType.Float, transposed: true);
            yield return Call(new HostTensor([2, 4], new float[8]), 1, [4], false, format, ElementType.Float16, transposed: true);
        }
        yield return Call(Whole(random, 3, 4096), 1, [4096], false, NumberFormat.E4M3, ElementType.BFloat16, transposed: true);
    }

    private static HostTensor Whole(Random random, params long[] sizes) =>
        new(sizes, [.. Enumerable.Range(0, (int)sizes.Aggregate((a, b) => a * b)).Select(_ => (float)random.Next(-8, 9))]);

    private static OpCall Call(HostTensor x, int axis, long[] blocks, bool inverse, NumberFormat format, ElementType type, bool transposed) => new(
        $"{x} {HadamardTransform.Overload(axis, blocks, inverse, type)} {format}" + (transposed ? " in both orders" : ""), [x],
        (build, inputs) =>
            [.. build.HadamardQuantize(InType(build, inputs, type)[0], axis, blocks, inverse, format, transposed, "codes").Outputs],
        () =>
        {
            var (rows, columns) = ((int)x.Sizes[0], (int)x.Sizes[1]);
            var (values, scale) = CodeTable.Quantize(format, Array.ConvertAll(Rotated(x, axis, blocks, inverse), v => Bits.Round((float)v, type)));
            double[] turned = [.. Enumerable.Range(0, values.Length).Select(i => values[i % rows * columns + i / rows])];
            return [new Expected(values, _ => 0), new Expected([scale], _ => 0), .. transposed ? (Expected[])[new Expected(turned, _ => 0)] : []];
        });

    private static double[] Rotated(HostTensor x, int axis, long[] blocks, bool inverse)
    {
        var h = Hadamard.Dense(blocks);
        var (rows, columns) = ((int)x.Sizes[0], (int)x.Sizes[1]);
        var (length, vectors) = axis == 1 ? (columns, rows) : (rows, columns);
        var y = new double[x.Elements.Length];
        for (var v = 0; v < vectors; v++)
        {
            int At(int i) => axis == 1 ? v * columns + i : i * columns + v;
            for (var i = 0; i < length; i++)
            {
                for (var j = 0; j < length; j++)
                    y[At(i)] += (inverse ? h[i, j] : h[j, i]) * x.Elements[At(j)];
            }
        }
        return y;
    }
}
