namespace Halo.Runner.Data;

/// <summary>Which rows make up which update, by random access: resuming needs the step number and nothing else.</summary>
/// <remarks>
/// Training: each epoch is a permutation of the rows drawn from (seed, epoch) and cut into batches, the incomplete one dropped; another epoch
/// drops others. Evaluation: one epoch in file order, the incomplete batch kept. A batch that is no multiple of the graph's rows is filled by
/// repeating a row with nothing to learn.
/// </remarks>
public sealed class Batcher
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
        var first = index * _batchSize;
        var places = Order(epoch)[first..Math.Min(first + _batchSize, _rows.Count)];
        var micro = places.Chunk(_layout.Rows).Select(p => MicroBatch.Of(Array.ConvertAll(p, i => _rows[i]), _layout));
        return new Batch(epoch, index, places, micro.ToArray());
    }

    /// <summary>The batches of one epoch.</summary>
    public IEnumerable<Batch> Epoch(int epoch = 0)
    {
        for (var i = 0; i < BatchesPerEpoch; i++) yield return At((long)epoch * BatchesPerEpoch + i);
    }

    private int[] Order(int epoch)
    {
        if (_shuffled.Epoch != epoch)
            _shuffled = (epoch,
                _seed is { } seed ? SplitMix64.Stream(seed, (ulong)epoch).Permutation(_rows.Count) : Enumerable.Range(0, _rows.Count).ToArray());
        return _shuffled.Order;
    }
}
