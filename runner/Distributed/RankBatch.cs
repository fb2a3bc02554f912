using Halo.Runner.Data;

namespace Halo.Runner.Distributed;

/// <summary>Which micro-batches of an update a rank runs: number r, r + N, r + 2N and so on. All ranks run as many, as each run has collectives.</summary>
internal static class RankBatch
{
    /// <summary>The rank's micro-batches with the tokens that count of each; where there is none, or nothing to learn in it, another with 0 of them.</summary>
    /// <param name="batch">Those of all ranks.</param>
    /// <param name="rank">From 0.</param>
    /// <param name="ranks">N.</param>
    public static IReadOnlyList<(MicroBatch Batch, long Counted)> Of(IReadOnlyList<MicroBatch> batch, int rank, int ranks)
    {
        var filler = batch.First(m => !m.Empty);
        return
        [
            .. Enumerable.Range(0, (batch.Count + ranks - 1) / ranks).Select(round => (round * ranks) + rank)
                .Select(place => place < batch.Count && !batch[place].Empty ? (batch[place], (long)batch[place].CountedTokens) : (filler, 0)),
        ];
    }
}
