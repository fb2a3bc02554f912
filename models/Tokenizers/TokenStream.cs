using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>Text of tokens as they come: what they add, without the beginning of a character whose end has not come.</summary>
/// <remarks>All pieces together are <see cref="HfTokenizer.Decode"/> of all ids.</remarks>
/// <param name="tokenizer">Whose ids they are.</param>
/// <param name="skipSpecialTokens">Whether special tokens give no text.</param>
public sealed class TokenStream(HfTokenizer tokenizer, bool skipSpecialTokens)
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    /// <summary>The text that a token completes; empty where it ends inside a character.</summary>
    public string Add(int id) => skipSpecialTokens && tokenizer.IsSpecial(id) ? "" : Decode(tokenizer.BytesOf(id), flush: false);

    /// <summary>What is left of a character that nothing completed: U+FFFD, or nothing.</summary>
    public string End() => Decode([], flush: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        var text = new char[_decoder.GetCharCount(bytes, flush)];
        return new string(text, 0, _decoder.GetChars(bytes, text, flush));
    }
}
