using Halo.Analysis;

namespace Halo.Runner.Data;

/// <summary>What one run of the graph takes: (B, T) row-major, padded on the right.</summary>
/// <param name="InputIds">Token ids; the pad id behind each row's end.</param>
/// <param name="AttentionMask">1 on tokens. 1 at position 0 always, so that no softmax is taken over nothing.</param>
/// <param name="Labels">The id where the token is learned, else <see cref="TrainingNames.IgnoredLabel"/>. Not shifted: logits at t meet labels at t+1.</param>
/// <param name="CountedTokens">Labels that count: at positions from 1 on, not ignored. The graph's mean loss is over these.</param>
/// <param name="Tokens">Tokens of the rows, without padding.</param>
public sealed record MicroBatch(long[] InputIds, long[] AttentionMask, long[] Labels, int CountedTokens, int Tokens)
{
    /// <summary>Nothing counts: the graph's mean would be 0/0, so the loop skips it.</summary>
    public bool Empty => CountedTokens == 0;

    /// <summary>Lays up to <paramref name="graphRows"/> rows out as (graphRows, sequence). Free rows repeat the first one with nothing to learn.</summary>
    /// <remarks>A repeated row cannot change the scale of a quantized tensor; a row of padding alone, whose first token attends to itself, can.</remarks>
    public static MicroBatch Of(ReadOnlySpan<TokenizedRow> rows, int graphRows, int sequence, int padId)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows.Length, graphRows);
        var ids = new long[graphRows * sequence];
        var mask = new long[ids.Length];
        var labels = new long[ids.Length];
        Array.Fill(ids, padId);
        Array.Fill(labels, TrainingNames.IgnoredLabel);
        int counted = 0, tokens = 0;
        for (var r = 0; r < graphRows && rows.Length > 0; r++)
        {
            var isRepeated = r >= rows.Length;
            var row = rows[isRepeated ? 0 : r];
            ArgumentOutOfRangeException.ThrowIfGreaterThan(row.Ids.Length, sequence);
            for (var t = 0; t < row.Ids.Length; t++)
            {
                ids[r * sequence + t] = row.Ids[t];
                mask[r * sequence + t] = 1;
                if (row.LossMask[t] != 0 && !isRepeated) labels[r * sequence + t] = row.Ids[t];
            }
            counted += isRepeated ? 0 : row.CountedTokens;
            tokens += isRepeated ? 0 : row.Ids.Length;
        }
        for (var r = 0; r < graphRows; r++) mask[r * sequence] = 1;
        return new MicroBatch(ids, mask, labels, counted, tokens);
    }
}

/// <summary>The rows of one update (or of one slice of an evaluation).</summary>
/// <param name="Epoch">From 0.</param>
/// <param name="Index">Place in the epoch, from 0.</param>
/// <param name="Rows">Places of its rows in the data set, in order.</param>
/// <param name="MicroBatches">One per run of the graph. Only the last may hold rows of padding.</param>
public sealed record Batch(int Epoch, int Index, IReadOnlyList<int> Rows, IReadOnlyList<MicroBatch> MicroBatches)
{
    /// <summary>The divisor of the update's loss: a micro-batch's mean has the weight of its own counted tokens over these.</summary>
    public long CountedTokens => MicroBatches.Sum(m => (long)m.CountedTokens);

    public long Tokens => MicroBatches.Sum(m => (long)m.Tokens);
}
