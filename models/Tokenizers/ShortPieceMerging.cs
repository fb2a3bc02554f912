namespace Halo.Models.Tokenizers;

/// <summary>The merging of <see cref="BytePairEncoder"/> for words: no allocation, and looking at every pair again takes less time than a queue.</summary>
/// <remarks>Of all adjacent pairs the lowest rank first, the leftmost of equals. [Sennrich et al. 2016, section 3.2]</remarks>
internal sealed class ShortPieceMerging
{
    /// <summary>Bytes of a piece.</summary>
    internal const int MaxBytes = 64;

    private const int Unmerged = int.MaxValue;

    private readonly int[] _idOfByte = new int[256];
    private readonly IReadOnlyDictionary<long, (int Rank, int Id)> _merges;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>>? _whole;

    /// <param name="vocabulary">Token to id, a <see cref="ByteLevel"/> character per byte.</param>
    /// <param name="merges">As <see cref="LongPieceMerging.Merges"/> gives them.</param>
    /// <param name="ignoreMerges">Whether a piece that is a token is taken whole.</param>
    internal ShortPieceMerging(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyDictionary<long, (int Rank, int Id)> merges, bool ignoreMerges)
    {
        _merges = merges;
        for (var value = 0; value < 256; value++)
            _idOfByte[value] = vocabulary.TryGetValue(ByteLevel.Char((byte)value).ToString(), out var id) ? id : -1;
        if (ignoreMerges)
            _whole = new Dictionary<string, int>(vocabulary, StringComparer.Ordinal).GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>The tokens of a piece, with the place of the first character that each holds a byte of.</summary>
    /// <param name="piece">Text as it stands.</param>
    /// <param name="addPrefixSpace">Whether a space comes first where there is none.</param>
    /// <returns>Null for a piece that is longer, or one of whose bytes has no token.</returns>
    internal Token[]? Merge(ReadOnlySpan<char> piece, bool addPrefixSpace)
    {
        Span<int> ids = stackalloc int[MaxBytes], starts = stackalloc int[MaxBytes], ranks = stackalloc int[MaxBytes];
        Span<char> symbols = stackalloc char[MaxBytes];
        Span<byte> utf8 = stackalloc byte[4];
        var (count, at) = (0, 0);
        if (addPrefixSpace && piece[0] != ' ')
            (symbols[0], starts[0], count) = (ByteLevel.Char((byte)' '), 0, 1);
        foreach (var rune in piece.EnumerateRunes())
        {
            var bytes = utf8[..rune.EncodeToUtf8(utf8)];
            if (count + bytes.Length > MaxBytes)
                return null;
            foreach (var value in bytes)
                (symbols[count], ids[count], starts[count++]) = (ByteLevel.Char(value), _idOfByte[value], at);
            at += rune.Utf16SequenceLength;
        }
        if (_whole is { } whole && whole.TryGetValue(symbols[..count], out var one))
            return [new Token(one, 0)];
        if (addPrefixSpace && piece[0] != ' ')
            ids[0] = _idOfByte[' '];
        if (ids[..count].Contains(-1))
            return null;
        for (var i = 0; i + 1 < count; i++)
            ranks[i] = Rank(ids[i], ids[i + 1]);
        while (count > 1)
        {
            var (best, lowest) = (-1, Unmerged);
            for (var i = 0; i + 1 < count; i++)
                if (ranks[i] < lowest) (best, lowest) = (i, ranks[i]);
            if (best < 0)
                break;
            ids[best] = _merges[Key(ids[best], ids[best + 1])].Id;
            ids[(best + 2)..count].CopyTo(ids[(best + 1)..]);
            starts[(best + 2)..count].CopyTo(starts[(best + 1)..]);
            ranks[(best + 2)..count].CopyTo(ranks[(best + 1)..]);
            count--;
            if (best > 0)
                ranks[best - 1] = Rank(ids[best - 1], ids[best]);
            if (best + 1 < count)
                ranks[best] = Rank(ids[best], ids[best + 1]);
        }
        var tokens = new Token[count];
        for (var i = 0; i < count; i++)
            tokens[i] = new Token(ids[i], starts[i]);
        return tokens;
    }

    internal static long Key(int left, int right) => ((long)left << 32) | (uint)right;

    private int Rank(int left, int right) => _merges.TryGetValue(Key(left, right), out var merge) ? merge.Rank : Unmerged;
}
