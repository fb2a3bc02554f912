using Halo.Runner.Data.Reading;

namespace Halo.Runner.Data;

/// <summary>What is known of a row without reading its tokens.</summary>
/// <param name="Length">Tokens.</param>
/// <param name="FirstCounted">The first token that counts in the loss, from 1; <see cref="int.MaxValue"/> where none does.</param>
/// <param name="File">Place of its file among those of the data.</param>
/// <param name="Number">Where it stands in the file.</param>
/// <param name="Unit">What <paramref name="Number"/> counts.</param>
/// <param name="IsText">Running text, which goes on in another row where it is longer than one.</param>
internal readonly record struct TokenRowInfo(int Length, int FirstCounted, int File, long Number, RowUnit Unit, bool IsText);

/// <summary>Whole rows as tokens, in the order of the files; in memory, or in a file that is mapped.</summary>
internal interface ITokenRows
{
    int Count { get; }

    TokenRowInfo Info(int row);

    /// <summary>A part of a row.</summary>
    TokenizedRow Read(int row, int start, int length);

    /// <summary>Tokens of a part that count: learned and not at its position 0.</summary>
    int Counted(int row, int start, int length);
}

/// <summary>Rows in memory.</summary>
internal sealed class HeldTokenRows : ITokenRows, ITokenRowsTarget
{
    private readonly List<(TokenizedRow Row, TokenRowInfo Info)> _rows = [];

    public int Count => _rows.Count;

    public void Add(TokenizedRow row, int file, RowPlace place, bool isText) =>
        _rows.Add((row, new TokenRowInfo(row.Ids.Length, row.FirstCounted, file, place.Number, place.Unit, isText)));

    public TokenRowInfo Info(int row) => _rows[row].Info;

    public TokenizedRow Read(int row, int start, int length)
    {
        var whole = _rows[row].Row;
        return start == 0 && length == whole.Ids.Length ? whole : new TokenizedRow(whole.Ids[start..(start + length)], whole.LossMask[start..(start + length)]);
    }

    public int Counted(int row, int start, int length)
    {
        var whole = _rows[row].Row;
        return start == 0 && length == whole.Ids.Length ? whole.CountedTokens
            : length - 1 - whole.LossMask.AsSpan(start + 1, length - 1).Count((byte)0);
    }
}
