namespace Halo.Passes.Export.Weights;

/// <summary>Codes rows block by block in FP8; the last block has the columns that are left.</summary>
/// <param name="Block">Values of a block.</param>
/// <param name="ToScale">Rounds a scale into the type that holds it.</param>
internal sealed record Fp8Rows(int Block, Func<float, float> ToScale)
{
    public void Code(ReadOnlySpan<float> row, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        for (var i = 0; i < scales.Length; i++)
        {
            var block = (i * Block)..Math.Min(row.Length, (i + 1) * Block);
            scales[i] = Fp8Coder.Block(row[block], codes[block], ToScale);
        }
    }
}
