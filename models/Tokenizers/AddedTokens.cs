using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>A token that is found in the text itself, before pieces are cut.</summary>
internal sealed record AddedToken(int Id, string Content, bool Special, bool LeftStrip, bool RightStrip, bool SingleWord, bool Normalized);

/// <summary>Finds added tokens: leftmost first, the longest of those that start there. [Hugging Face tokenizers, added_vocabulary.rs, find_matches]</summary>
internal sealed class AddedTokens
{
    /// <summary>Per round, the tokens by their first unit, the longest first.</summary>
    private readonly Dictionary<char, AddedToken[]>[] _rounds;

    /// <remarks>Tokens that are not normalized are found first, the others in what is left; with no normalizer nothing else sets them apart.</remarks>
    internal AddedTokens(IEnumerable<AddedToken> tokens)
    {
        _rounds = [.. tokens.Where(t => t.Content.Length > 0).GroupBy(t => t.Normalized).OrderBy(g => g.Key)
            .Select(g => g.GroupBy(t => t.Content[0]).ToDictionary(t => t.Key, t => t.OrderByDescending(token => token.Content.Length).ToArray()))];
    }

    /// <summary>Cuts <paramref name="text"/> into added tokens and the text between them (token null), in order.</summary>
    internal List<(AddedToken? Token, int Start, int Length)> Split(string text)
    {
        List<(AddedToken? Token, int Start, int Length)> parts = [(null, 0, text.Length)];
        foreach (var round in _rounds)
            parts = [.. parts.SelectMany(part => part.Token is null ? Find(round, text, part.Start, part.Start + part.Length) : [part])];
        return parts;
    }

    private static IEnumerable<(AddedToken? Token, int Start, int Length)> Find(Dictionary<char, AddedToken[]> tokens, string text, int from, int end)
    {
        var done = from;
        for (var at = from; at < end;)
        {
            var token = !tokens.TryGetValue(text[at], out var here) ? null
                : Array.Find(here, t => t.Content.Length <= end - at && string.CompareOrdinal(text, at, t.Content, 0, t.Content.Length) == 0);
            if (token is null) { at++; continue; }
            var (start, stop) = (at, at + token.Content.Length);
            at = stop;
            if (token.SingleWord && ((start > from && IsWordBefore(text, start)) || (stop < end && IsWordAt(text, stop)))) continue;
            while (token.LeftStrip && start > done && char.IsWhiteSpace(text[start - 1])) start--;
            while (token.RightStrip && stop < end && char.IsWhiteSpace(text[stop])) stop++;
            if (start > done) yield return (null, done, start - done);
            yield return (token, start, stop - start);
            at = done = stop;
        }
        if (done < end) yield return (null, done, end - done);
    }

    private static bool IsWordBefore(string text, int at) =>
        IsWordAt(text, at >= 2 && char.IsSurrogatePair(text[at - 2], text[at - 1]) ? at - 2 : at - 1);

    private static bool IsWordAt(string text, int at) => Rune.TryGetRuneAt(text, at, out var rune) && (Rune.IsLetterOrDigit(rune) || rune.Value == '_');
}
