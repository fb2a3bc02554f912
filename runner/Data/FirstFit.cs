namespace Halo.Runner.Data;

/// <summary>Which rows of data share a row of the graph.</summary>
internal static class FirstFit
{
    /// <summary>Puts each length into the first bin that has room, the longest first, those of one length in their order. [Johnson 1973: first fit decreasing]</summary>
    /// <param name="lengths">In tokens, none above <paramref name="capacity"/>.</param>
    /// <param name="capacity">Tokens of a bin.</param>
    /// <returns>Places in <paramref name="lengths"/> by bin, each once; at most 11/9 as many bins as have to be, and one.</returns>
    public static IReadOnlyList<IReadOnlyList<int>> Bins(IReadOnlyList<int> lengths, int capacity)
    {
        var bins = new List<(List<int> Places, int Left)>();
        foreach (var place in Enumerable.Range(0, lengths.Count).OrderByDescending(i => lengths[i])) // a stable sort
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(lengths[place], capacity);
            var bin = bins.FindIndex(b => b.Left >= lengths[place]);
            if (bin < 0)
                bins.Add(([place], capacity - lengths[place]));
            else
            {
                bins[bin].Places.Add(place);
                bins[bin] = (bins[bin].Places, bins[bin].Left - lengths[place]);
            }
        }
        return [.. bins.Select(b => b.Places)];
    }
}
