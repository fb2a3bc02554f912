namespace Halo.Tests.Models;

/// <summary>Byte-pair merging as the definition has it: join the leftmost pair of the lowest rank until no pair is left to join.</summary>
/// <remarks>The slow, plainly right counterpart of <see cref="Halo.Models.Tokenizers.BytePairEncoder"/>. [Sennrich et al. 2016, section 3.2]</remarks>
internal sealed class PlainBytePairMerging(IReadOnlyDictionary<string, int> vocabulary, IEnumerable<string> merges)
{
    private readonly Dictionary<string, int> _ranks = merges.Index().ToDictionary(merge => merge.Item, merge => merge.Index);

    /// <returns>Token ids with the symbol each starts at.</returns>
    internal IEnumerable<(int Id, int Start)> Merge(string symbols)
    {
        var tokens = symbols.Select(symbol => symbol.ToString()).ToList();
        while (LowestPair(tokens) is { } left)
        {
            tokens[left] += tokens[left + 1];
            tokens.RemoveAt(left + 1);
        }
        var start = 0;
        foreach (var token in tokens)
        {
            yield return (vocabulary[token], start);
            start += token.Length;
        }
    }

    private int? LowestPair(List<string> tokens)
    {
        (int Rank, int Left)? lowest = null;
        for (var i = 0; i + 1 < tokens.Count; i++)
            if (_ranks.TryGetValue($"{tokens[i]} {tokens[i + 1]}", out var rank) && rank < (lowest?.Rank ?? int.MaxValue)) lowest = (rank, i);
        return lowest?.Left;
    }
}
