using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Halo.Models.Tokenizers;

/// <summary>Cuts text into the pieces that are encoded one by one: what the patterns match, and what lies between.</summary>
/// <remarks>
/// .NET matches UTF-16 units, so that a letter beyond U+FFFF would be no \p{L}. The patterns therefore see a text of the same length whose surrogate pairs are
/// replaced by two characters of the pair's own Unicode category.
/// </remarks>
internal sealed class PreTokenizer(IReadOnlyList<Regex> patterns, bool addPrefixSpace)
{
    /// <summary>GPT-2's pattern, which ByteLevel applies with <c>use_regex</c>.</summary>
    internal const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>Whether ByteLevel puts a space before a piece that has none.</summary>
    internal bool AddPrefixSpace => addPrefixSpace;

    internal IEnumerable<(int Start, int Length)> Split(string text)
    {
        var visible = ForPatterns(text);
        IEnumerable<(int Start, int Length)> pieces = [(0, text.Length)];
        foreach (var pattern in patterns) pieces = pieces.SelectMany(piece => SplitPiece(pattern, visible, piece));
        return pieces.Where(piece => piece.Length > 0);
    }

    private static IEnumerable<(int Start, int Length)> SplitPiece(Regex pattern, string text, (int Start, int Length) piece)
    {
        var (part, done) = (text.Substring(piece.Start, piece.Length), 0);
        for (var match = pattern.Match(part); match.Success; match = match.NextMatch())
        {
            if (match.Length == 0) continue;
            yield return (piece.Start + done, match.Index - done);
            yield return (piece.Start + match.Index, match.Length);
            done = match.Index + match.Length;
        }
        yield return (piece.Start + done, piece.Length - done);
    }

    private static string ForPatterns(string text)
    {
        if (!text.Any(char.IsSurrogate)) return text;
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
            result.Append(rune.IsBmp ? (char)rune.Value : StandIn(Rune.GetUnicodeCategory(rune)), rune.Utf16SequenceLength);
        return result.ToString();
    }

    private static char StandIn(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\uA640',
        UnicodeCategory.LowercaseLetter => '\uA641',
        UnicodeCategory.TitlecaseLetter => '\u01C5',
        UnicodeCategory.ModifierLetter => '\u02B0',
        UnicodeCategory.OtherLetter => '\u01BB',
        UnicodeCategory.NonSpacingMark => '\u0300',
        UnicodeCategory.SpacingCombiningMark => '\u0903',
        UnicodeCategory.EnclosingMark => '\u0488',
        UnicodeCategory.DecimalDigitNumber => '\u0660',
        UnicodeCategory.LetterNumber => '\u16EE',
        UnicodeCategory.OtherNumber => '\u00B2',
        UnicodeCategory.ConnectorPunctuation => '\u203F',
        UnicodeCategory.DashPunctuation => '\u2010',
        UnicodeCategory.OpenPunctuation => '\u2045',
        UnicodeCategory.ClosePunctuation => '\u2046',
        UnicodeCategory.OtherPunctuation => '\u00A1',
        UnicodeCategory.MathSymbol => '\u2212',
        UnicodeCategory.CurrencySymbol => '\u20A0',
        UnicodeCategory.ModifierSymbol => '\u02C2',
        UnicodeCategory.OtherSymbol => '\u2600',
        UnicodeCategory.Format => '\u200E',
        UnicodeCategory.PrivateUse => '\uE000',
        _ => '\u0378', // unassigned
    };
}
