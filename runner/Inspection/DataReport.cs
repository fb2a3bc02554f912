using System.IO.Hashing;
using System.Runtime.InteropServices;
using Halo.Runner.Data;

namespace Halo.Runner.Inspection;

/// <summary>What data are before they are trained on: lengths, what is cut or left out, what comes twice, and what a reader should know.</summary>
/// <param name="Data">The rows.</param>
internal sealed record DataReport(ChatDataset Data)
{
    /// <summary>Buckets of the histogram.</summary>
    private const int Buckets = 16;

    /// <summary>Rows by length before any cut: from, to and how many.</summary>
    public required IReadOnlyList<(int From, int To, int Rows)> Lengths { get; init; }

    /// <summary>Tokens that are padding where a row of the graph holds one row.</summary>
    public required double Padding { get; init; }

    /// <summary>Rows of the graph that hold all rows where each holds as many as fit.</summary>
    public required int Packed { get; init; }

    /// <summary>Places of rows whose tokens are those of an earlier row.</summary>
    public required IReadOnlyList<RowRemark> Duplicates { get; init; }

    /// <summary>Rows that are cut or left out, and what they lose.</summary>
    public required IReadOnlyList<RowRemark> Cut { get; init; }

    /// <summary>Of the rows, those of which every token is learned.</summary>
    public required int AllLearned { get; init; }

    /// <summary>What is paid for late, a sentence each.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>Looks at every row once.</summary>
    public static DataReport Of(ChatDataset data)
    {
        var (seen, duplicates, cut) = (new Dictionary<UInt128, int>(), new List<RowRemark>(), new List<RowRemark>());
        var (allLearned, answersCut, leftOut) = (0, 0, 0);
        for (var row = 0; row < data.WholeRows.Count; row++)
        {
            var (info, place) = (data.WholeRows.Info(row), data.PlaceOf(row));
            var whole = data.WholeRows.Read(row, 0, info.Length);
            if (!seen.TryAdd(XxHash128.HashToUInt128(MemoryMarshal.AsBytes(whole.Ids.AsSpan())), row))
                duplicates.Add(new RowRemark(place, $"the tokens of {data.PlaceOf(seen[XxHash128.HashToUInt128(MemoryMarshal.AsBytes(whole.Ids.AsSpan()))])}"));
            if (!info.IsText && whole.CountedTokens == info.Length - 1)
                allLearned++;
            if (info.IsText || info.Length <= data.MaxLength)
                continue;
            var kept = data.WholeRows.Counted(row, 0, data.MaxLength);
            if (kept == 0)
                leftOut++;
            else if (kept < whole.CountedTokens)
                answersCut++;
            cut.Add(new RowRemark(place, kept == 0 ? $"left out: {info.Length} tokens, the first learned one at {info.FirstCounted}"
                : $"cut: {info.Length} tokens, of which {whole.CountedTokens - kept} of {whole.CountedTokens} learned ones are lost"));
        }
        var warnings = new List<string>(data.Notes);
        if (leftOut > 0)
            warnings.Add($"{leftOut} rows are left out: their answers begin behind token {data.MaxLength}");
        if (answersCut > 0)
            warnings.Add($"{answersCut} answers are cut at token {data.MaxLength}: the model learns them without their end");
        if (allLearned > 0)
            warnings.Add($"of {allLearned} conversations every token is learned, prompts too");
        if (duplicates.Count > 0)
            warnings.Add($"{duplicates.Count} rows come again");
        return new DataReport(data)
        {
            Lengths = Histogram(data.WholeRows),
            Padding = 1 - (double)data.Tokens / ((double)data.Rows.Count * data.MaxLength),
            Packed = Bins(Enumerable.Range(0, data.Rows.Count).Select(data.LengthOf), data.MaxLength),
            Duplicates = duplicates,
            Cut = cut,
            AllLearned = allLearned,
            Warnings = warnings,
        };
    }

    /// <summary>How many rows of a capacity hold all, the longest first, each in the fullest one that has room (best fit decreasing).</summary>
    internal static int Bins(IEnumerable<int> lengths, int capacity)
    {
        var (bins, withRoom) = (0, new int[capacity + 1]); // by the room that is left
        foreach (var length in lengths.OrderDescending())
        {
            var room = length;
            while (room <= capacity && withRoom[room] == 0)
                room++;
            if (room > capacity)
                (room, bins) = (capacity, bins + 1);
            else
                withRoom[room]--;
            withRoom[room - length]++;
        }
        return bins;
    }

    private static List<(int, int, int)> Histogram(ITokenRows rows)
    {
        var longest = Enumerable.Range(0, rows.Count).Max(i => rows.Info(i).Length);
        var width = Math.Max(1, (longest + Buckets - 1) / Buckets);
        var counts = new int[(longest - 1) / width + 1];
        for (var row = 0; row < rows.Count; row++)
            counts[(rows.Info(row).Length - 1) / width]++;
        return [.. counts.Select((count, i) => (i * width + 1, Math.Min((i + 1) * width, longest), count))];
    }
}

/// <summary>What there is to say of a row.</summary>
/// <param name="Place">File and line.</param>
/// <param name="Text">What it is.</param>
internal sealed record RowRemark(string Place, string Text);
