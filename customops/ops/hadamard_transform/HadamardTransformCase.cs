using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every size class: dense, two factors, several equal and unequal blocks, and blocks of one.</summary>
public sealed class HadamardTransformCase() : OpCase("HadamardTransform")
{
    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        Benchmark("axis 1, 256", Tiny.Hidden, 1, Hadamard.Blocks(Tiny.Hidden)),
        Benchmark("axis 1, 704", Tiny.Ffn, 1, Hadamard.Blocks(Tiny.Ffn)),
        Benchmark("axis 0, 1024 twice", Tiny.Ffn, 0, Hadamard.Blocks(Tiny.Tokens, 1024)),
    ];

    private OpBenchmark Benchmark(string what, int columns, int axis, long[] blocks) => new($"{OpType} {what}", "float", $"{Tiny.Tokens} x {columns}",
        random => Call(HostTensor.Normal(random, Tiny.Tokens, columns), axis, blocks, false, ElementType.Float))
    {
        Bytes = Tiny.Tensors(2, Tiny.Tokens * columns),
    };

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var n in new long[] { 1, 3, 19, 64, 72, 96, 172, 448, 704 })
        {
            foreach (var inverse in new[] { false, true })
            {
                yield return Call(HostTensor.Normal(random, 5, n), 1, Hadamard.Blocks(n), inverse, ElementType.Float);
                yield return Call(HostTensor.Normal(random, n, 7), 0, Hadamard.Blocks(n), inverse, ElementType.Float);
            }
        }
        yield return Call(HostTensor.Normal(random, 1, 4864), 1, Hadamard.Blocks(4864), false, ElementType.Float);
        yield return Call(HostTensor.Normal(random, 2048, 2), 0, Hadamard.Blocks(2048), false, ElementType.Float);
        yield return Call(HostTensor.Normal(random, 2048, 3), 0, Hadamard.Blocks(2048, 1024), true, ElementType.Float);
        yield return Call(HostTensor.Normal(random, 3, 2048), 1, Hadamard.Blocks(2048, 1024), true, ElementType.Float);
        yield return Call(HostTensor.Normal(random, 24 * 3, 4), 0, Hadamard.Blocks(24 * 3, 16), false, ElementType.Float);
        yield return Call(HostTensor.Normal(random, 4, 24 * 3), 1, Hadamard.Blocks(24 * 3, 16), false, ElementType.Float);
        yield return Call(HostTensor.Normal(random, 5, 704), 1, Hadamard.Blocks(704), false, ElementType.BFloat16);
        yield return Call(HostTensor.Normal(random, 19, 5), 0, Hadamard.Blocks(19), true, ElementType.Float16);
        foreach (var type in FloatTypes) // the sizes of the matrix units of a GPU
        {
            yield return Call(HostTensor.Normal(random, 3, 256), 1, [256], false, type);
            yield return Call(HostTensor.Normal(random, 3, 1536), 1, [1024, 512], true, type);
            yield return Call(HostTensor.Normal(random, 1024, 8), 0, [1024], false, type);
            yield return Call(HostTensor.Normal(random, 768, 8), 0, [512, 256], true, type);
            yield return WithMaxima(Call(HostTensor.Normal(random, 3, 1536), 1, [1024, 512], false, type));
            yield return WithMaxima(Call(HostTensor.Normal(random, 19, 5), 0, Hadamard.Blocks(19), true, type));
        }
        yield return Call(new HostTensor([64, 1], [.. Enumerable.Range(0, 64).Select(i => i == 3 ? 1e30f : 0f)]), 0, [64], false, ElementType.Float);
    }

    private static OpCall Call(HostTensor x, int axis, long[] blocks, bool inverse, ElementType type) => new(
        $"{x} {HadamardTransform.Overload(axis, blocks, inverse, type)}", [x],
        (build, inputs) =>
        {
            var input = type == ElementType.Float ? inputs[0] : Cast(build, inputs[0], type, "cast");
            return [build.HadamardTransform(input, axis, blocks, inverse, "rotate")];
        },
        () => [Oracle(x, axis, blocks, inverse, type)]);

    /// <summary>
    /// A sum of m products is off by at most m units of roundoff times the sum of magnitudes, and that is at most the vector's norm,
    /// a row of H having norm 1. The factors make m at most n1 + n2, dense blocks at most 128. A 16-bit result is rounded once more.
    /// </summary>
    private static Expected Oracle(HostTensor x, int axis, long[] blocks, bool inverse, ElementType type)
    {
        var h = Hadamard.Dense(blocks);
        var (rows, columns) = ((int)x.Sizes[0], (int)x.Sizes[1]);
        var input = Array.ConvertAll(x.Elements, v => Bits.Round(v, type));
        var (length, vectors) = axis == 1 ? (columns, rows) : (rows, columns);
        var y = new double[x.Elements.Length];
        var norm = 0.0;
        for (var v = 0; v < vectors; v++)
        {
            int At(int i) => axis == 1 ? v * columns + i : i * columns + v;
            for (var i = 0; i < length; i++)
            {
                var sum = 0.0;
                for (var j = 0; j < length; j++)
                    sum += (inverse ? h[i, j] : h[j, i]) * input[At(j)];
                y[At(i)] = sum;
            }
            norm = Math.Max(norm, Math.Sqrt(Enumerable.Range(0, length).Sum(i => (double)input[At(i)] * input[At(i)])));
        }
        var terms = blocks.Max(block => Hadamard.Factors(block) is var (n1, n2) ? n1 + n2 : 0) + 128;
        var rounding = type switch { ElementType.BFloat16 => 1.0 / 256, ElementType.Float16 => 1.0 / 2048, _ => 0 };
        return new Expected(y, i => terms * Epsilon * norm + rounding * Math.Abs(y[i]));
    }
}
