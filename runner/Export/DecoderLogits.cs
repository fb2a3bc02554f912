using Halo.Runner.Generation;

namespace Halo.Runner.Export;

/// <summary>An inference graph over whole rows at once, or over their first halves and then token by token through the cache.</summary>
/// <param name="decoder">The graph; not owned.</param>
/// <param name="cached">Half of each row goes through the cache.</param>
internal sealed class DecoderLogits(DecoderSession decoder, bool cached) : ILogits
{
    private const int RowsAtOnce = 8;

    public int Vocabulary => decoder.VocabularySize;

    public IEnumerable<float[]> Of(IReadOnlyList<int[]> rows) =>
        rows.Chunk(RowsAtOnce).SelectMany(together => cached ? Continued(together) : Whole(together));

    private float[][] Whole(int[][] rows)
    {
        using var decoding = decoder.Begin(rows);
        var logits = NewLogits(rows);
        for (var row = 0; row < rows.Length; row++)
        {
            for (var t = 0; t < rows[row].Length; t++)
                decoding.Logits(row, t).CopyTo(logits[row].AsSpan(t * Vocabulary));
        }
        return logits;
    }

    private float[][] Continued(int[][] rows)
    {
        var prompts = rows.Select(row => row[..((row.Length + 1) / 2)]).ToArray();
        using var decoding = decoder.Begin(prompts);
        var logits = NewLogits(rows);
        for (var row = 0; row < rows.Length; row++)
        {
            for (var t = 0; t < prompts[row].Length; t++)
                decoding.Logits(row, t).CopyTo(logits[row].AsSpan(t * Vocabulary));
        }
        for (var n = 0; ; n++)
        {
            var tokens = rows.Select((row, r) => prompts[r].Length + n < row.Length ? row[prompts[r].Length + n] : (int?)null).ToList();
            if (tokens.All(t => t is null))
                return logits;
            decoding.Append(tokens);
            for (var row = 0; row < rows.Length; row++)
            {
                if (tokens[row] is not null)
                    decoding.Next(row).CopyTo(logits[row].AsSpan((prompts[row].Length + n) * Vocabulary));
            }
        }
    }

    private float[][] NewLogits(int[][] rows) => [.. rows.Select(row => new float[row.Length * Vocabulary])];
}
