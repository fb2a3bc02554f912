using Halo.Analysis;

namespace Halo.Runner.Data;

/// <summary>What one run of the graph takes: values (B, T) row-major, padded on the right.</summary>
/// <param name="Inputs">By role: one for each input of the graph.</param>
/// <param name="CountedTokens">Labels that count: at positions from 1 on, not ignored. The graph's mean loss is over these.</param>
/// <param name="Tokens">Tokens of the rows, without padding.</param>
internal sealed record MicroBatch(IReadOnlyDictionary<BatchRole, long[]> Inputs, int CountedTokens, int Tokens)
{
    /// <summary>Nothing counts: the graph's mean would be 0/0, so the loop skips it.</summary>
    public bool Empty => CountedTokens == 0;

    /// <summary>The values of one input.</summary>
    /// <exception cref="KeyNotFoundException">The batch was laid out without it.</exception>
    public long[] this[BatchRole role] => Inputs[role];

    /// <summary>The same rows with other values of one input.</summary>
    public MicroBatch With(BatchRole role, long[] values) => this with { Inputs = new Dictionary<BatchRole, long[]>(Inputs) { [role] = values } };

    /// <summary>Lays up to B rows out in a form, each in a row of its own. Free rows repeat the first one with nothing to learn.</summary>
    /// <remarks>A repeated row cannot change the scale of a quantized tensor; a row of padding alone, whose first token attends to itself, can.</remarks>
    public static MicroBatch Of(IReadOnlyList<TokenizedRow> rows, BatchLayout layout) => Of([.. rows.Select(r => (IReadOnlyList<TokenizedRow>)[r])], layout);

    /// <summary>Lays up to B bins out in a form: the rows of a bin, one behind the other, are the documents of a row. Free rows as above.</summary>
    public static MicroBatch Of(IReadOnlyList<IReadOnlyList<TokenizedRow>> bins, BatchLayout layout)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bins.Count, layout.Rows);
        foreach (var bin in bins)
            ArgumentOutOfRangeException.ThrowIfGreaterThan(bin.Sum(r => r.Ids.Length), layout.Sequence);
        return new MicroBatch(layout.Inputs.ToDictionary(i => i.Role, i => Values(i.Role, bins, layout)),
            bins.Sum(b => b.Sum(r => r.CountedTokens)), bins.Sum(b => b.Sum(r => r.Ids.Length)));
    }

    private static long[] Values(BatchRole role, IReadOnlyList<IReadOnlyList<TokenizedRow>> bins, BatchLayout layout)
    {
        var values = new long[layout.Rows * layout.Sequence];
        for (var r = 0; r < layout.Rows; r++)
        {
            var isRepeated = r >= bins.Count;
            var bin = bins.Count == 0 ? [] : bins[isRepeated ? 0 : r];
            var row = values.AsSpan(r * layout.Sequence, layout.Sequence);
            var end = 0;
            foreach (var (document, of) in bin.Index())
            {
                for (var t = 0; t < of.Ids.Length; t++)
                    row[end + t] = OnToken(role, of, t, document, isRepeated);
                end += of.Ids.Length;
            }
            for (; end < layout.Sequence; end++)
                row[end] = BehindEnd(role, end, bin.Count, layout.PadId);
        }
        return values;
    }

    private static long OnToken(BatchRole role, TokenizedRow row, int t, int document, bool isRepeated) => role switch
    {
        BatchRole.TokenIds => row.Ids[t],
        BatchRole.Mask => 1,
        // The first token of a document is predicted from none; behind another it would be from that one's last.
        BatchRole.Labels => row.LossMask[t] != 0 && !isRepeated && (t > 0 || document == 0) ? row.Ids[t] : TrainingNames.IgnoredLabel,
        BatchRole.Positions => t,
        BatchRole.Documents => document,
        _ => throw new ArgumentOutOfRangeException(nameof(role), role, null),
    };

    private static long BehindEnd(BatchRole role, int t, int documents, int padId) => role switch
    {
        BatchRole.TokenIds => padId,
        BatchRole.Mask => t == 0 ? 1 : 0, // so that no softmax is taken over nothing
        BatchRole.Labels => TrainingNames.IgnoredLabel,
        BatchRole.Positions => t,
        BatchRole.Documents => documents, // no token of a document sees it
        _ => throw new ArgumentOutOfRangeException(nameof(role), role, null),
    };
}

/// <summary>The rows of one update (or of one slice of an evaluation).</summary>
/// <param name="Epoch">From 0.</param>
/// <param name="Index">Place in the epoch, from 0.</param>
/// <param name="Rows">Places of its rows in the data set, in order.</param>
/// <param name="MicroBatches">One per run of the graph. Only the last may hold free rows.</param>
internal sealed record Batch(int Epoch, int Index, IReadOnlyList<int> Rows, IReadOnlyList<MicroBatch> MicroBatches)
{
    /// <summary>The divisor of the update's loss: a micro-batch's mean has the weight of its own counted tokens over these.</summary>
    public long CountedTokens => MicroBatches.Sum(m => (long)m.CountedTokens);

    public long Tokens => MicroBatches.Sum(m => (long)m.Tokens);
}
