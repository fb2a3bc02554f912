using System.Globalization;

namespace Halo.Runner.Data;

/// <summary>Which rows make up which update, by random access: resuming needs the step number and nothing else.</summary>
/// <remarks>
/// Training: each epoch is a permutation of the rows drawn from (seed, epoch) and cut into batches, the incomplete one dropped; another epoch
/// drops others. Evaluation: one epoch in file order, the incomplete batch kept. A batch that is no multiple of the graph's rows is filled by
/// repeating a row with nothing to learn. A layout that packs changes neither which rows a batch has nor their order: they fill rows of the graph by
/// <see cref="FirstFit"/>, and so fewer micro-batches.
/// </remarks>
internal sealed class Batcher
{
    private readonly IReadOnlyList<TokenizedRow> _rows;
    private readonly int _batchSize;
    private readonly BatchLayout _layout;
    private readonly ulong? _seed; // null: file order, incomplete batch kept
    private (int Epoch, int[] Order) _shuffled = (-1, []);

    private Batcher(IReadOnlyList<TokenizedRow> rows, int batchSize, BatchLayout layout, ulong? seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(layout.Rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(layout.Sequence, 1);
        (_rows, _batchSize, _layout, _seed) = (rows, batchSize, layout, seed);
        BatchesPerEpoch = seed is null ? (rows.Count + batchSize - 1) / batchSize : rows.Count / batchSize;
    }

    /// <param name="rows">Rows of at most T tokens.</param>
    /// <param name="batchSize">Rows per update.</param>
    /// <param name="layout">Of micro-batches: the graph's B and T, and what it takes.</param>
    /// <param name="seed">Draws the order; the same seed gives the same batches.</param>
    /// <exception cref="HaloException">There are fewer rows than one batch.</exception>
    public static Batcher ForTraining(IReadOnlyList<TokenizedRow> rows, int batchSize, BatchLayout layout, ulong seed)
        => rows.Count >= batchSize
            ? new(rows, batchSize, layout, seed)
            : throw new HaloException("load-data", $"batch_size {batchSize}", $"at most the {rows.Count} rows of the data", $"{batchSize}",
                "Lower batch_size or give more rows.");

    /// <summary>Batches in file order, every row once.</summary>
    /// <param name="rows">Rows of at most T tokens.</param>
    /// <param name="layout">Of micro-batches.</param>
    /// <param name="batchSize">Rows per batch; null: the graph's.</param>
    public static Batcher ForEvaluation(IReadOnlyList<TokenizedRow> rows, BatchLayout layout, int? batchSize = null)
        => new(rows, batchSize ?? layout.Rows, layout, seed: null);

    public int BatchesPerEpoch { get; }

    /// <summary>The batch of update <paramref name="step"/>, counted from 0 across epochs.</summary>
    public Batch At(long step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        var epoch = checked((int)(step / BatchesPerEpoch));
        var index = (int)(step % BatchesPerEpoch);
        var places = RowsOf(epoch, index);
        var rows = Array.ConvertAll(places, i => _rows[i]);
        return new Batch(epoch, index, places, [.. Bins(rows).Chunk(_layout.Rows).Select(bins => MicroBatch.Of(bins, _layout))]);
    }

    private IEnumerable<IReadOnlyList<TokenizedRow>> Bins(TokenizedRow[] rows) => !_layout.Packs ? rows.Select(r => (IReadOnlyList<TokenizedRow>)[r])
        : FirstFit.Bins(Array.ConvertAll(rows, r => r.Ids.Length), _layout.Sequence).Select(bin => (IReadOnlyList<TokenizedRow>)[.. bin.Select(i => rows[i])]);

    /// <summary>The batches of one epoch.</summary>
    public IEnumerable<Batch> Epoch(int epoch = 0)
    {
        for (var i = 0; i < BatchesPerEpoch; i++) yield return At((long)epoch * BatchesPerEpoch + i);
    }

    /// <summary>How full the rows of the graph are over the first epoch, for a log; null where each holds one row of data.</summary>
    public string? PackingSummary()
    {
        if (!_layout.Packs)
            return null;
        var (micro, most, tokens) = (0, 0, 0L);
        for (var i = 0; i < BatchesPerEpoch; i++)
        {
            var rows = RowsOf(0, i).Select(place => _rows[place].Ids.Length).ToArray();
            var runs = (FirstFit.Bins(rows, _layout.Sequence).Count + _layout.Rows - 1) / _layout.Rows;
            (micro, most, tokens) = (micro + runs, Math.Max(most, runs), tokens + rows.Sum());
        }
        var (each, full) = ((double)micro / BatchesPerEpoch, (double)tokens / ((long)micro * _layout.Rows * _layout.Sequence));
        return string.Create(CultureInfo.InvariantCulture, $"packing: {_batchSize} rows fill {each:F2} micro-batches of {_layout.Rows} x {_layout.Sequence} on average "
            + $"({most} at the most) in place of {(_batchSize + _layout.Rows - 1) / _layout.Rows}; {full:P0} of their places hold tokens");
    }

    private int[] RowsOf(int epoch, int index) => Order(epoch)[(index * _batchSize)..Math.Min((index + 1) * _batchSize, _rows.Count)];

    private int[] Order(int epoch)
    {
        if (_shuffled.Epoch != epoch)
            _shuffled = (epoch,
                _seed is { } seed ? SplitMix64.Stream(seed, (ulong)epoch).Permutation(_rows.Count) : Enumerable.Range(0, _rows.Count).ToArray());
        return _shuffled.Order;
    }
}
