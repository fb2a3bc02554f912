namespace Halo.Passes.Export.Weights;

/// <summary>What the codes of a matrix stand for, as <see cref="QuantizeWeights"/> makes them without calibration: slow, and for reports.</summary>
internal static class RoundedWeights
{
    private const int Block = 32;

    /// <param name="format">How weights are held.</param>
    /// <param name="matrix">(rows, columns), row-major.</param>
    /// <param name="columns">Of a row; the last block has those that are left.</param>
    public static float[] Of(WeightFormat format, float[] matrix, int columns)
    {
        var rounded = new float[matrix.Length];
        Parallel.For(0, matrix.Length / columns, row =>
        {
            Span<float> values = stackalloc float[Block];
            Span<byte> codes = stackalloc byte[Block];
            for (var at = row * columns; at < (row + 1) * columns; at += Block)
            {
                var count = Math.Min(Block, ((row + 1) * columns) - at);
                values.Clear();
                matrix.AsSpan(at, count).CopyTo(values);
                Round(format, values, values[..count], codes);
                values[..count].CopyTo(rounded.AsSpan(at));
            }
        });
        return rounded;
    }

    /// <param name="format">How weights are held.</param>
    /// <param name="whole">A block, filled up by zeros; what its codes stand for afterwards.</param>
    /// <param name="block">What of it there is.</param>
    /// <param name="codes">Room for as many bytes.</param>
    private static void Round(WeightFormat format, Span<float> whole, Span<float> block, Span<byte> codes)
    {
        switch (format)
        {
            case WeightFormat.Fp16:
                foreach (ref var value in block)
                    value = (float)(Half)value;
                break;
            case WeightFormat.Fp8:
                var fp8 = Fp8Coder.Block(block, codes, value => value);
                for (var i = 0; i < block.Length; i++)
                    block[i] = Fp8Coder.Value(codes[i]) * fp8;
                break;
            case WeightFormat.Int8:
                var int8 = BlockCoder.Code8(whole, codes, value => value);
                for (var i = 0; i < whole.Length; i++)
                    whole[i] = (codes[i] - BlockCoder.EightBitZero) * int8;
                break;
            default:
                var (int4, zero) = BlockCoder.Code4(whole, [], codes, value => value);
                for (var i = 0; i < whole.Length; i++)
                    whole[i] = ((codes[i / 2] >> (i % 2 * 4) & 15) - zero) * int4;
                break;
        }
    }
}
