using Microsoft.ML.Tokenizers;

namespace Halo.Models.Tokenizers;

/// <summary>Merges the byte symbols of one piece of text into tokens: of all adjacent pairs the lowest rank first, the leftmost of equals.</summary>
/// <remarks>
/// Words go through <see cref="ShortPieceMerging"/>; Microsoft.ML.Tokenizers merges the rest, and is what the others are held to. It gets symbols instead of text, so that the byte mapping and each token's place stay ours, and it cuts nothing, because
/// what arrives here is one piece. [Sennrich et al. 2016, section 3.2]
/// </remarks>
internal sealed class BytePairEncoder(IReadOnlyDictionary<string, int> vocabulary, IEnumerable<string> merges, bool ignoreMerges)
{
    /// <summary>From here on the library's time, which grows with the square, exceeds that of <see cref="LongPieceMerging"/>.</summary>
    private const int LongPiece = 2048;

    private readonly BpeTokenizer _merger = BpeTokenizer.Create(new BpeOptions(vocabulary) { Merges = merges });
    private readonly Lazy<LongPieceMerging> _long = new(() => new LongPieceMerging(vocabulary, merges));
    private readonly Lazy<ShortPieceMerging> _short = new(() => new ShortPieceMerging(vocabulary, new LongPieceMerging(vocabulary, merges).Merges, ignoreMerges));
    private readonly char[] _missing = [.. ByteLevel.Alphabet.Where(symbol => !vocabulary.ContainsKey(symbol.ToString()))];

    /// <summary>The tokens of a word and their places in it; null where <see cref="Encode"/> has to be asked.</summary>
    internal Token[]? EncodeShort(ReadOnlySpan<char> piece, bool addPrefixSpace) => piece.Length > ShortPieceMerging.MaxBytes ? null : _short.Value.Merge(piece, addPrefixSpace);

    /// <param name="symbols">The piece, a <see cref="ByteLevel"/> character per byte.</param>
    /// <returns>Token ids with the symbol each starts at.</returns>
    internal IEnumerable<(int Id, int Start)> Encode(string symbols)
    {
        if (symbols.Length == 0) return [];
        if (ignoreMerges && vocabulary.TryGetValue(symbols, out var whole)) return [(whole, 0)];
        if (symbols.Length > LongPiece) return _long.Value.Merge(symbols);
        return _merger.EncodeToTokens(symbols, out _, considerPreTokenization: false, considerNormalization: false)
            .Select(token => (token.Id, token.Offset.Start.Value));
    }

    /// <summary>A symbol of the piece that has no token, as in vocabularies that lack bytes; null where each has one.</summary>
    internal string? Missing(string symbols) => _missing.Length > 0 && symbols.IndexOfAny(_missing) is var at && at >= 0
        && !(ignoreMerges && vocabulary.ContainsKey(symbols)) ? symbols[at].ToString() : null;
}
