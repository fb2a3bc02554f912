namespace Halo.Passes.Export.Weights;

/// <summary>Codes rows block by block, as MatMulNBits packs them: the last block is filled up, zero points of 4 bits lie two in a byte.</summary>
/// <param name="Block">Values of a block.</param>
/// <param name="Bits">4 or 8.</param>
/// <param name="ToScale">Rounds a scale into the type that holds it.</param>
internal sealed record BlockRows(int Block, int Bits, Func<float, float> ToScale)
{
    /// <summary>What a row of this many blocks takes.</summary>
    public RowSizes Sizes(int blocks) => new(blocks * Block * Bits / 8, blocks, Bits == 4 ? (blocks + 1) / 2 : 0);

    public void Code(ReadOnlySpan<float> row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        var bytes = Block * Bits / 8;
        Span<float> last = stackalloc float[Block];
        for (var i = 0; i < scales.Length; i++)
        {
            scoped var block = row[(i * Block)..Math.Min(row.Length, (i + 1) * Block)];
            if (block.Length < Block)
            {
                last.Clear();
                block.CopyTo(last);
                block = last;
            }
            var target = codes.Slice(i * bytes, bytes);
            if (Bits == 8)
            {
                scales[i] = BlockCoder.Code8(block, target, ToScale);
                continue;
            }
            (scales[i], var zero) = BlockCoder.Code4(block, [], target, ToScale);
            zeros[i / 2] |= (byte)(zero << (i % 2 * 4));
        }
    }
}
