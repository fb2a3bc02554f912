using System.Collections;

namespace Halo.Runner.Data;

/// <summary>Parts of rows, none longer than a graph takes; each is read when it is asked for.</summary>
/// <param name="rows">The whole rows.</param>
/// <param name="parts">Row, first token and length.</param>
internal sealed class CutRows(ITokenRows rows, List<(int Row, int Start, int Length)> parts) : IReadOnlyList<TokenizedRow>
{
    public int Count => parts.Count;

    public TokenizedRow this[int index] => rows.Read(parts[index].Row, parts[index].Start, parts[index].Length);

    public long Tokens => parts.Sum(p => (long)p.Length);

    public long CountedTokens => parts.Sum(p => (long)rows.Counted(p.Row, p.Start, p.Length));

    public IEnumerator<TokenizedRow> GetEnumerator()
    {
        for (var i = 0; i < parts.Count; i++)
            yield return this[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The row that a part is of.</summary>
    public int WholeOf(int index) => parts[index].Row;

    /// <summary>Tokens of a row, which is not read for it.</summary>
    public int LengthOf(int index) => parts[index].Length;
}
