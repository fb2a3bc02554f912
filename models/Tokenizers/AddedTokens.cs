using System.Buffers;
using System.Text;

namespace Halo.Models.Tokenizers;

/// <summary>A token that is found in the text itself, before pieces are cut.</summary>
internal sealed record AddedToken(int Id, string Content, bool Special, bool LeftStrip, bool RightStrip, bool SingleWord, bool Normalized);

/// <summary>Finds added tokens: leftmost first, the longest of those that start there. [Hugging Face tokenizers, added_vocabulary.rs, find_matches]</summary>
internal sealed class AddedTokens
{
    /// <summary>By their first unit, the longest first: those that are found in the text as it came, and those in what the normalizer leaves.</summary>
    private readonly Dictionary<char, (AddedToken Token, string Content)[]> _plain, _normalized;

    private readonly SearchValues<char> _plainFirsts, _normalizedFirsts;

    /// <remarks>Tokens that are not normalized are found first, the others, their own text normalized, in what is left.</remarks>
    internal AddedTokens(IEnumerable<AddedToken> tokens, Func<string, string> normalize)
    {
        var given = tokens.Where(t => t.Content.Length > 0).ToLookup(t => t.Normalized);
        (_plain, _normalized) = (ByFirst(given[false], content => content), ByFirst(given[true], normalize));
        (_plainFirsts, _normalizedFirsts) = (SearchValues.Create([.. _plain.Keys]), SearchValues.Create([.. _normalized.Keys]));
    }

    /// <summary>Cuts a text into added tokens that are not normalized and what lies between them (token null), in order.</summary>
    internal IEnumerable<(AddedToken? Token, int Start, int Length)> SplitPlain(string text) => Find(_plain, _plainFirsts, text, 0, text.Length);

    /// <summary>Cuts what a normalizer left into the other added tokens and what lies between them.</summary>
    internal IEnumerable<(AddedToken? Token, int Start, int Length)> SplitNormalized(string text) => Find(_normalized, _normalizedFirsts, text, 0, text.Length);

    private static Dictionary<char, (AddedToken, string)[]> ByFirst(IEnumerable<AddedToken> tokens, Func<string, string> normalize) => tokens
        .Select(t => (Token: t, Content: normalize(t.Content))).Where(t => t.Content.Length > 0).GroupBy(t => t.Content[0])
        .ToDictionary(t => t.Key, t => t.OrderByDescending(token => token.Content.Length).ToArray());

    private static IEnumerable<(AddedToken? Token, int Start, int Length)> Find(
        Dictionary<char, (AddedToken Token, string Content)[]> tokens, SearchValues<char> firsts, string text, int from, int end)
    {
        var done = from;
        for (var at = from; at < end;)
        {
            if (text.AsSpan(at, end - at).IndexOfAny(firsts) is var next && next < 0) break;
            at += next;
            var (token, content) = !tokens.TryGetValue(text[at], out var here) ? default
                : Array.Find(here, t => t.Content.Length <= end - at && string.CompareOrdinal(text, at, t.Content, 0, t.Content.Length) == 0);
            if (token is null) { at++; continue; }
            var (start, stop) = (at, at + content.Length);
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
