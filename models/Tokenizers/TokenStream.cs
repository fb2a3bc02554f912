namespace Halo.Models.Tokenizers;

/// <summary>Text of tokens as they come: what they add, without the beginning of a character whose end has not come.</summary>
/// <remarks>All pieces together are <see cref="HfTokenizer.Decode"/> of all ids.</remarks>
/// <param name="tokenizer">Whose ids they are.</param>
/// <param name="skipSpecialTokens">Whether special tokens give no text.</param>
public sealed class TokenStream(HfTokenizer tokenizer, bool skipSpecialTokens)
{
    private readonly TokenTexts _texts = tokenizer.Texts();

    /// <summary>The text that a token completes; empty where it ends inside a character.</summary>
    public string Add(int id) => (skipSpecialTokens && tokenizer.IsSpecial(id)) || tokenizer.TextOf(id) is not { } token ? ""
        : _texts.Add(token, tokenizer.BytesOf(id));

    /// <summary>What is left of a character that nothing completed: U+FFFD, or nothing.</summary>
    public string End() => _texts.End();
}
