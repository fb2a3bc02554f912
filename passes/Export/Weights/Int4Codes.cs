using Halo.CustomOps;

namespace Halo.Passes.Export.Weights;

/// <summary>A matrix as the operands of <see cref="DequantizeInt4"/>: 4-bit codes in blocks of 32, as exports have them (<see cref="BlockCoder"/>).</summary>
/// <param name="Codes">(rows, 16 blocks), the lower four bits first.</param>
/// <param name="Scales">(rows, blocks).</param>
/// <param name="Zeros">(rows, blocks).</param>
internal sealed record Int4Codes(byte[] Codes, Half[] Scales, byte[] Zeros)
{
    private const int Block = (int)DequantizeInt4.BlockSize;

    /// <param name="matrix">(rows, columns), row-major. The last block of a row is filled up by zeros.</param>
    /// <param name="rows">Of the matrix.</param>
    /// <param name="columns">Of the matrix.</param>
    public static Int4Codes Of(float[] matrix, int rows, int columns)
    {
        var blocks = (int)DequantizeInt4.BlocksOf(columns);
        var coded = new Int4Codes(new byte[(long)rows * blocks * Block / 2], new Half[(long)rows * blocks], new byte[(long)rows * blocks]);
        Parallel.For(0, rows, row =>
        {
            Span<float> last = stackalloc float[Block];
            for (var b = 0; b < blocks; b++)
            {
                scoped ReadOnlySpan<float> block = matrix.AsSpan((row * columns) + (b * Block), Math.Min(Block, columns - (b * Block)));
                if (block.Length < Block)
                {
                    last.Clear();
                    block.CopyTo(last);
                    block = last;
                }
                var at = (row * blocks) + b;
                var (scale, zero) = BlockCoder.Code4(block, [], coded.Codes.AsSpan(at * (Block / 2), Block / 2), value => (float)(Half)value);
                (coded.Scales[at], coded.Zeros[at]) = ((Half)scale, zero);
            }
        });
        return coded;
    }
}
