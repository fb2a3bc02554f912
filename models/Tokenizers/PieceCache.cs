using System.Collections.Concurrent;

namespace Halo.Models.Tokenizers;

/// <summary>The tokens of pieces that came before: of running text nearly all pieces are words that did.</summary>
/// <remarks>Safe to share between threads. Full, it keeps what it has: frequent words come early.</remarks>
internal sealed class PieceCache
{
    /// <summary>Some 20 MB of words.</summary>
    private const int MaxPieces = 1 << 17;

    private const int MaxLength = 32;

    private readonly ConcurrentDictionary<string, Token[]> _tokens = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Token[]>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private int _count;

    internal PieceCache() => _lookup = _tokens.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>The tokens of a piece, their places counted from its start; null where it is new.</summary>
    internal Token[]? Find(ReadOnlySpan<char> piece) => piece.Length <= MaxLength && _lookup.TryGetValue(piece, out var tokens) ? tokens : null;

    internal void Add(ReadOnlySpan<char> piece, Token[] tokens)
    {
        if (piece.Length <= MaxLength && Volatile.Read(ref _count) < MaxPieces && _lookup.TryAdd(piece, tokens))
            Interlocked.Increment(ref _count);
    }
}
