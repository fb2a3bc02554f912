namespace Halo.Models.Tokenizers;

/// <summary>The merging of <see cref="BytePairEncoder"/> in time n log n, for pieces that no pattern cuts.</summary>
/// <remarks>
/// A queue holds the pairs that can be joined, by rank and then by place. A pair that is taken from it and no longer stands as it was queued is passed over.
/// [Sennrich et al. 2016, section 3.2]
/// </remarks>
internal sealed class LongPieceMerging(IReadOnlyDictionary<string, int> vocabulary, IEnumerable<string> merges)
{
    private readonly Dictionary<long, (int Rank, int Id)> _joined = Joined(vocabulary, merges);

    /// <summary>Rank and joined token, by <see cref="ShortPieceMerging.Key"/> of the two.</summary>
    internal IReadOnlyDictionary<long, (int Rank, int Id)> Merges => _joined;

    /// <returns>Token ids with the symbol each starts at.</returns>
    internal List<(int Id, int Start)> Merge(string symbols) => Merge([.. symbols.Select(symbol => vocabulary[symbol.ToString()])]);

    /// <param name="ids">The token of each symbol; not kept.</param>
    internal List<(int Id, int Start)> Merge(int[] ids)
    {
        var count = ids.Length;
        var (next, previous) = (new int[count], new int[count]); // a token's neighbours; a token has the index of its first symbol
        for (var i = 0; i < count; i++) (next[i], previous[i]) = (i + 1, i - 1);
        var queue = new PriorityQueue<(int Left, int LeftId, int RightId), (int Rank, int Left)>();
        for (var i = 0; i + 1 < count; i++) Enqueue(i);
        while (queue.TryDequeue(out var pair, out _))
        {
            var right = next[pair.Left];
            if (ids[pair.Left] != pair.LeftId || right >= count || ids[right] != pair.RightId) continue;
            ids[pair.Left] = _joined[ShortPieceMerging.Key(pair.LeftId, pair.RightId)].Id;
            ids[right] = -1;
            next[pair.Left] = next[right];
            if (next[right] < count) previous[next[right]] = pair.Left;
            if (previous[pair.Left] >= 0) Enqueue(previous[pair.Left]);
            Enqueue(pair.Left);
        }
        var tokens = new List<(int Id, int Start)>();
        for (var i = 0; i < count; i = next[i]) tokens.Add((ids[i], i));
        return tokens;

        void Enqueue(int left)
        {
            var right = next[left];
            if (right < count && _joined.TryGetValue(ShortPieceMerging.Key(ids[left], ids[right]), out var joined))
                queue.Enqueue((left, ids[left], ids[right]), (joined.Rank, left));
        }
    }

    private static Dictionary<long, (int, int)> Joined(IReadOnlyDictionary<string, int> vocabulary, IEnumerable<string> merges) => merges.Index().ToDictionary(
        merge => ShortPieceMerging.Key(vocabulary[merge.Item.Split(' ')[0]], vocabulary[merge.Item.Split(' ')[1]]),
        merge => (merge.Index, vocabulary[merge.Item.Replace(" ", "", StringComparison.Ordinal)]));
}
