using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>Merges the characters of a text into tokens; one without a token is the tokens of its bytes, or the unknown one.</summary>
/// <remarks>[Hugging Face tokenizers, bpe/model.rs]</remarks>
internal sealed class CharacterEncoder(TokenizerJson json)
{
    private readonly LongPieceMerging _merging = new(json.Vocabulary, json.Merges);

    /// <param name="text">What is encoded as one piece.</param>
    /// <param name="tokens">Get its tokens.</param>
    /// <exception cref="HaloException">A character has no token, and the vocabulary none for what it does not know.</exception>
    internal void Encode(MappedText text, List<Token> tokens)
    {
        if (json.IgnoreMerges && json.Vocabulary.TryGetValue(text.Text, out var whole))
        {
            tokens.Add(new Token(whole, text.StartOf(0)));
            return;
        }
        var (ids, starts, at, wasUnknown) = (new List<int>(), new List<int>(), 0, false);
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in text.Text.EnumerateRunes())
        {
            var start = text.StartOf(at);
            at += rune.Utf16SequenceLength;
            var bytes = utf8[..rune.EncodeToUtf8(utf8)];
            var before = ids.Count;
            if (json.Vocabulary.TryGetValue(rune.ToString(), out var id))
                ids.Add(id);
            else if (json.HasByteFallback && Bytes(bytes) is { } found)
                ids.AddRange(found);
            else if (!(wasUnknown && json.FusesUnknown))
                ids.Add(json.UnknownId ?? throw Unknown(rune));
            starts.AddRange(Enumerable.Repeat(start, ids.Count - before));
            wasUnknown = ids.Count == before || (ids.Count == before + 1 && ids[^1] == json.UnknownId);
        }
        foreach (var (id, symbol) in _merging.Merge([.. ids])) tokens.Add(new Token(id, starts[symbol]));
    }

    private List<int>? Bytes(ReadOnlySpan<byte> utf8)
    {
        var ids = new List<int>(4);
        foreach (var value in utf8)
        {
            if (!json.Vocabulary.TryGetValue(TokenDecoding.OfByte(value), out var id)) return null;
            ids.Add(id);
        }
        return ids;
    }

    private static HaloException Unknown(Rune rune) => new("tokenize", $"'{rune}'", "characters that have tokens in this vocabulary",
        "none, nor one for what it does not know", "Remove the text, or use another tokenizer.");
}
