using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Halo.Models.Tokenizers;

/// <summary>What becomes of the pieces that a pattern matches. [Hugging Face tokenizers, SplitDelimiterBehavior]</summary>
internal enum SplitBehavior { Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext }

/// <summary>One cut: where the pattern matches; inverted, what lies between counts as matched.</summary>
internal sealed record SplitStep(Regex Pattern, SplitBehavior Behavior = SplitBehavior.Isolated, bool Invert = false);

/// <summary>Cuts text into the pieces that are encoded one by one.</summary>
/// <remarks>
/// .NET matches UTF-16 units, so that a letter beyond U+FFFF would be no \p{L} and \p{N}{3} would end inside the second of three digits. The patterns
/// therefore see one unit a character: a character beyond U+FFFF stands there as another one of its Unicode category.
/// Patterns come from files, and some take exponential time: a match has <see cref="MatchSeconds"/>, a text the same and a time for each character.
/// </remarks>
internal sealed class PreTokenizer(IReadOnlyList<SplitStep> steps, bool addPrefixSpace)
{
    /// <summary>GPT-2's pattern, which ByteLevel applies with <c>use_regex</c>.</summary>
    internal const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <summary>The longest time of one match. The patterns of real models take some 50 ns a character.</summary>
    internal const double MatchSeconds = 2;

    private const double SecondsPerCharacter = 1e-5;

    /// <summary>What is done to a part of a text before it is cut; null: nothing.</summary>
    internal Metaspace? Metaspace { get; init; }

    /// <summary>Whether ByteLevel puts a space before a piece that has none.</summary>
    internal bool AddPrefixSpace => addPrefixSpace;

    /// <exception cref="HaloException">A pattern takes too long for this text.</exception>
    internal List<(int Start, int Length)> Split(string text)
    {
        var (visible, starts) = Characters(text);
        var (watch, worked) = (Stopwatch.StartNew(), RecentWork.Of());
        var limit = TimeSpan.FromSeconds(MatchSeconds + SecondsPerCharacter * text.Length);
        List<(int Start, int Length)> pieces = [(0, visible.Length)];
        for (var n = 0; n < steps.Count;)
        {
            try
            {
                var cut = new List<(int Start, int Length)>(Math.Max(pieces.Count, text.Length / 5));
                foreach (var piece in pieces) Cut(steps[n], visible, piece, watch, limit, cut);
                (pieces, n) = (cut, n + 1);
            }
            catch (RegexMatchTimeoutException e)
            {
                // On a machine with much else to do the time may pass without any work.
                if ((Environment.CpuUsage.TotalTime - worked).TotalSeconds > MatchSeconds / 2) throw TooLong(steps[n].Pattern, text, e);
                watch.Restart();
            }
        }
        pieces.RemoveAll(piece => piece.Length == 0);
        for (var i = 0; starts is not null && i < pieces.Count; i++)
        {
            var (start, length) = pieces[i];
            pieces[i] = (starts[start], starts[start + length] - starts[start]);
        }
        return pieces;
    }

    private static void Cut(SplitStep step, string text, (int Start, int Length) piece, Stopwatch watch, TimeSpan limit, List<(int Start, int Length)> parts)
    {
        var part = text.AsSpan(piece.Start, piece.Length);
        var (done, wasMatch, first, matches) = (0, false, parts.Count, 0);
        foreach (var match in step.Pattern.EnumerateMatches(part))
        {
            if ((++matches & 63) == 0 && watch.Elapsed > limit) throw new RegexMatchTimeoutException(text, step.Pattern.ToString(), limit);
            Add(done, match.Index - done, isMatch: false);
            Add(match.Index, match.Length, isMatch: true);
            done = match.Index + match.Length;
        }
        Add(done, piece.Length - done, isMatch: false);

        void Add(int start, int length, bool isMatch)
        {
            if (length == 0) return;
            isMatch ^= step.Invert;
            var isJoined = parts.Count > first && step.Behavior switch
            {
                SplitBehavior.Contiguous => isMatch == wasMatch,
                SplitBehavior.MergedWithPrevious => isMatch && !wasMatch,
                SplitBehavior.MergedWithNext => wasMatch && !isMatch,
                _ => false,
            };
            wasMatch = isMatch;
            if (isMatch && step.Behavior == SplitBehavior.Removed) return;
            if (isJoined) parts[^1] = (parts[^1].Start, parts[^1].Length + length);
            else parts.Add((piece.Start + start, length));
        }
    }

    /// <summary>The text with one unit a character, and where each character and the end stand in it; null where they stand at their own index.</summary>
    private static (string Visible, int[]? Starts) Characters(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF')) return (text, null);
        var visible = new StringBuilder(text.Length);
        var starts = new List<int>(text.Length);
        var at = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            visible.Append(rune.IsBmp ? (char)rune.Value : StandIn(Rune.GetUnicodeCategory(rune)));
            starts.Add(at);
            at += rune.Utf16SequenceLength;
        }
        return (visible.ToString(), [.. starts, at]);
    }

    /// <summary>The processor time of the process, asked for a few times a second: asking takes as long as a short text.</summary>
    private static class RecentWork
    {
        private static readonly TimeSpan Age = TimeSpan.FromMilliseconds(50);
        private static (long Asked, TimeSpan Worked)? _last;
        private static readonly Lock Gate = new();

        internal static TimeSpan Of()
        {
            lock (Gate)
            {
                if (_last is not var (asked, worked) || Stopwatch.GetElapsedTime(asked) > Age)
                    _last = (Stopwatch.GetTimestamp(), worked = Environment.CpuUsage.TotalTime);
                return worked;
            }
        }
    }

    private static HaloException TooLong(Regex pattern, string text, Exception e) => new("tokenize", $"a text of {text.Length} characters",
        $"the pattern '{pattern}' of tokenizer.json to cut it in time", $"no end after {MatchSeconds:g2} s",
        "Use a tokenizer whose pattern does not search in circles, or shorten the text.", e);

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
