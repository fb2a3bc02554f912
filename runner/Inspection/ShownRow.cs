using Halo.Models.Tokenizers;
using Halo.Runner.Data;

namespace Halo.Runner.Inspection;

/// <summary>The tokens of a row as text, for people.</summary>
/// <param name="Place">File and line.</param>
/// <param name="Tokens">Ids with the text that each adds, and what is said of each.</param>
internal sealed record ShownRow(string Place, IReadOnlyList<ShownToken> Tokens)
{
    /// <summary>A row as it is trained on: cut.</summary>
    public static ShownRow Of(string place, TokenizedRow row, HfTokenizer tokenizer)
    {
        var (stream, tokens) = (new TokenStream(tokenizer, skipSpecialTokens: false), new List<ShownToken>());
        for (var i = 0; i < row.Ids.Length; i++)
            tokens.Add(new ShownToken(row.Ids[i], stream.Add(row.Ids[i]), row.LossMask[i] != 0 && i > 0, tokenizer.IsAdded(row.Ids[i])));
        if (stream.End() is { Length: > 0 } rest)
            tokens[^1] = tokens[^1] with { Text = tokens[^1].Text + rest };
        return new ShownRow(place, tokens);
    }
}

/// <summary>A token for people.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Text">What it adds to the text.</param>
/// <param name="IsLearned">Whether it counts in the loss.</param>
/// <param name="IsMark">Whether it is one of added_tokens.</param>
internal sealed record ShownToken(int Id, string Text, bool IsLearned, bool IsMark);
