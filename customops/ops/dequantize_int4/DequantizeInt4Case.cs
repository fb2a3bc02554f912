using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Every code under every zero point, rows that blocks fill and that they do not, each type; scales of the ends of float16, and one that is NaN.</summary>
public sealed class DequantizeInt4Case() : OpCase("DequantizeInt4")
{
    private const int Block = (int)DequantizeInt4.BlockSize;

    public override IEnumerable<OpBenchmark> Benchmarks =>
    [
        new(OpType, "float", "704 x 2048", random => Call(random, Tiny.Ffn, Tiny.Tokens, ElementType.Float)) { Bytes = (4 + (19.0 / Block)) * Tiny.Tokens * Tiny.Ffn },
    ];

    public override IEnumerable<OpCall> Calls(Random random)
    {
        foreach (var (rows, columns) in new[] { (1, 1), (3, 31), (2, 32), (5, 33), (16, 64), (7, 100), (4, 1030) })
            yield return Call(random, rows, columns, ElementType.Float);
        foreach (var type in FloatTypes)
            yield return Call(random, 6, 100, type);
        yield return Call(random, 3, 70, ElementType.Float, [6.1e-5f, 65504, float.NaN]);
    }

    /// <summary>The codes are constants of the graph: no input of a case has their type.</summary>
    private static OpCall Call(Random random, int rows, int columns, ElementType type, float[]? scalesOf = null)
    {
        var blocks = (int)DequantizeInt4.BlocksOf(columns);
        var codes = new byte[rows * blocks * Block / 2];
        random.NextBytes(codes);
        byte[] zeros = [.. Enumerable.Range(0, rows * blocks).Select(i => (byte)(i % 16))];
        float[] scales = [.. zeros.Select((_, i) => (float)(Half)(scalesOf is null ? 0.01f + (float)random.NextDouble() : scalesOf[i % scalesOf.Length]))];
        return new($"{rows} x {columns} {type}{(scalesOf is null ? "" : " ends of float16")}", [new([1], [1])],
            (build, inputs) => [build.DequantizeInt4(build.Constant("codes", Tensor.Of<byte>(ElementType.UInt8, [rows, blocks * Block / 2], codes)),
                build.Constant("scales", Tensor.Of<Half>(ElementType.Float16, [rows, blocks], Array.ConvertAll(scales, s => (Half)s))),
                build.Constant("zeros", Tensor.Of<byte>(ElementType.UInt8, [rows, blocks], zeros)), columns, type, "matrix")],
            () => [new([.. Enumerable.Range(0, rows * columns).Select(i => Element(i / columns, i % columns))], _ => 0)]);

        double Element(int row, int column)
        {
            var (at, block) = ((row * blocks * Block) + column, (row * blocks) + (column / Block));
            var code = at % 2 == 0 ? codes[at / 2] & 15 : codes[at / 2] >> 4;
            return Bits.Round((code - zeros[block]) * scales[block], type);
        }
    }
}
