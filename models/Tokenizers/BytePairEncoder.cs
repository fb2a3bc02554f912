namespace Halo.Models.Tokenizers;

/// <summary>Merges the byte symbols of one piece of text into tokens: of all adjacent pairs the lowest rank first, the leftmost of equals.</summary>
/// <remarks>A heap and a linked list make it O(n log n) in the piece's length. [Sennrich et al. 2016, section 3.2; Hugging Face tokenizers, models/bpe/word.rs]</remarks>
internal sealed class BytePairEncoder(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyDictionary<(int Left, int Right), (int Rank, int Id)> merges, bool ignoreMerges)
{
    /// <param name="symbols">The piece, a <see cref="ByteLevel"/> character per byte.</param>
    /// <returns>Token ids with the symbol each starts at.</returns>
    internal IEnumerable<(int Id, int Start)> Encode(string symbols)
    {
        if (symbols.Length == 0) return [];
        return ignoreMerges && vocabulary.TryGetValue(symbols, out var whole) ? [(whole, 0)] : Merge(symbols);
    }

    private IEnumerable<(int Id, int Start)> Merge(string symbols)
    {
        var count = symbols.Length;
        var ids = new int[count];       // -1: merged into the symbol before
        var next = new int[count];
        var previous = new int[count];
        for (var i = 0; i < count; i++) (ids[i], next[i], previous[i]) = (vocabulary[symbols[i].ToString()], i + 1, i - 1);
        var queue = new PriorityQueue<(int Left, int LeftId, int RightId, int MergedId), (int Rank, int Position)>();
        for (var i = 0; i + 1 < count; i++) Push(i);
        while (queue.TryDequeue(out var pair, out _))
        {
            var right = next[pair.Left];
            if (ids[pair.Left] != pair.LeftId || right == count || ids[right] != pair.RightId) continue; // one of the two has been merged since
            ids[pair.Left] = pair.MergedId;
            ids[right] = -1;
            next[pair.Left] = next[right];
            if (next[right] < count) previous[next[right]] = pair.Left;
            if (previous[pair.Left] >= 0) Push(previous[pair.Left]);
            if (next[pair.Left] < count) Push(pair.Left);
        }
        for (var i = 0; i < count; i = next[i]) yield return (ids[i], i);

        void Push(int left)
        {
            if (merges.TryGetValue((ids[left], ids[next[left]]), out var merge))
                queue.Enqueue((left, ids[left], ids[next[left]], merge.Id), (merge.Rank, left));
        }
    }
}
