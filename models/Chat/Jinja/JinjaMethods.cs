using System.Globalization;
using System.Text;

namespace Halo.Models.Chat.Jinja;

/// <summary>The methods of text and mappings that chat templates call.</summary>
internal static class JinjaMethods
{
    /// <returns>Null if the value has no such method.</returns>
    internal static JinjaFunction? Of(object? target, string name) => target switch
    {
        string text when IsTextMethod(name) => (arguments, named, site) => OfText(text, name, arguments, named, site),
        OrderedDictionary<string, object?> map => name switch
        {
            "items" => (_, _, site) => Pairs(map, site),
            "keys" => (_, _, site) => JinjaValues.Items(map, site),
            "values" => (_, _, site) => Values(map, site),
            "get" => (arguments, _, site) => map.TryGetValue(JinjaValues.Text(arguments.ElementAtOrDefault(0), site), out var value) ? value
                : arguments.ElementAtOrDefault(1),
            _ => null,
        },
        _ => null,
    };

    private static List<object?> Values(OrderedDictionary<string, object?> map, JinjaSite site)
    {
        site.MakeItems(map.Count);
        return [.. map.Values];
    }

    internal static List<object?> Pairs(IReadOnlyCollection<KeyValuePair<string, object?>> pairs, JinjaSite site)
    {
        site.MakeItems(4 * pairs.Count);
        return [.. pairs.Select(p => (object?)new List<object?> { p.Key, p.Value })];
    }

    internal static string Capitalized(string text)
    {
        if (!Rune.TryGetRuneAt(text, 0, out var first)) return text.ToLowerInvariant();
        return Rune.ToUpperInvariant(first) + text[first.Utf16SequenceLength..].ToLowerInvariant();
    }

    /// <summary>Python's <c>str.title</c>: a letter behind one that has a case is lower, any other is upper.</summary>
    private static string Titled(string text)
    {
        var (result, isInside) = (new StringBuilder(text.Length), false);
        foreach (var rune in text.EnumerateRunes())
        {
            result.Append(isInside ? Rune.ToLowerInvariant(rune) : Rune.ToUpperInvariant(rune));
            isInside = Rune.IsLower(rune) || Rune.IsUpper(rune) || Rune.GetUnicodeCategory(rune) == UnicodeCategory.TitlecaseLetter;
        }
        return result.ToString();
    }

    /// <summary>Jinja's filter of that name: words begin behind white space, a hyphen or an opening bracket, and nowhere else.</summary>
    internal static string TitledWords(string text)
    {
        var (result, isInside) = (new StringBuilder(text.Length), false);
        foreach (var rune in text.EnumerateRunes())
        {
            result.Append(isInside ? Rune.ToLowerInvariant(rune) : Rune.ToUpperInvariant(rune));
            isInside = !Rune.IsWhiteSpace(rune) && !"-({[<".Contains((char)rune.Value, StringComparison.Ordinal) || rune.Value > char.MaxValue;
        }
        return result.ToString();
    }

    /// <summary>Strips characters, white space where none are given, from the sides that are asked for.</summary>
    internal static string Stripped(string text, object? characters, bool left, bool right, JinjaSite site)
    {
        site.Make(text.Length);
        if (characters is null or Undefined)
            return left && right ? text.Trim(PythonText.Whitespace) : left ? text.TrimStart(PythonText.Whitespace) : text.TrimEnd(PythonText.Whitespace);
        var set = JinjaValues.Text(characters, site).EnumerateRunes().ToHashSet();
        var (start, end) = (0, text.Length);
        while (left && start < end && Rune.TryGetRuneAt(text, start, out var rune) && set.Contains(rune)) start += rune.Utf16SequenceLength;
        while (right && end > start && Rune.DecodeLastFromUtf16(text.AsSpan(start, end - start), out var rune, out var length) == 0 && set.Contains(rune))
            end -= length;
        return text[start..end];
    }

    /// <summary>Python's <c>str.replace</c>, up to <paramref name="count"/> times.</summary>
    internal static string Replaced(string text, string old, string with, object? count, JinjaSite site)
    {
        if (old.Length == 0) throw JinjaError.At(site, "text to replace", "empty text");
        var left = count is null ? long.MaxValue : JinjaValues.Integer(count, site) is >= 0 and var given ? given : long.MaxValue;
        site.Make(text.Length);
        var result = new StringBuilder();
        var at = 0;
        for (int found; left > 0 && (found = text.IndexOf(old, at, StringComparison.Ordinal)) >= 0; at = found + old.Length, left--)
        {
            site.Make(with.Length + 16);
            result.Append(text, at, found - at).Append(with);
        }
        return result.Append(text, at, text.Length - at).ToString();
    }

    private static bool IsTextMethod(string name) =>
        name is "strip" or "lstrip" or "rstrip" or "split" or "rsplit" or "splitlines" or "startswith" or "endswith"
        or "replace" or "upper" or "lower" or "title" or "capitalize" or "join" or "find" or "count" or "isdigit";

    private static object? OfText(string text, string name, List<object?> arguments, Dictionary<string, object?> named, JinjaSite site)
    {
        if (named.Count > 0) throw JinjaError.At(site, $"'{name}' without named arguments", $"'{named.Keys.First()}'");
        site.Make(text.Length);
        string Argument(int index) => JinjaValues.Text(arguments.ElementAtOrDefault(index) ?? new Undefined($"argument {index + 1} of {name}"), site);
        switch (name)
        {
            case "strip" or "lstrip" or "rstrip": return Stripped(text, arguments.ElementAtOrDefault(0), name != "rstrip", name != "lstrip", site);
            case "split": return Split(text, arguments, site);
            case "splitlines" when arguments.Count == 0:
                site.MakeItems(4 * (text.AsSpan().Count('\n') + 1));
                return text.Length == 0 ? [] : (text.EndsWith('\n') ? text[..^1] : text).Split('\n').Select(part => (object?)part.TrimEnd('\r')).ToList();
            case "startswith" when arguments.Count == 1: return text.StartsWith(Argument(0), StringComparison.Ordinal);
            case "endswith" when arguments.Count == 1: return text.EndsWith(Argument(0), StringComparison.Ordinal);
            case "replace": return Replaced(text, Argument(0), Argument(1), arguments.ElementAtOrDefault(2), site);
            case "upper": return text.ToUpperInvariant();
            case "lower": return text.ToLowerInvariant();
            case "capitalize": return Capitalized(text);
            case "title" when arguments.Count == 0: return Titled(text);
            case "count" when arguments.Count == 1 && Argument(0) is { Length: > 0 } part: return (long)text.AsSpan().Count(part);
            case "join": return Joined(text, JinjaValues.Items(arguments.ElementAtOrDefault(0), site).Select(item => JinjaValues.Text(item, site)), site);
            case "find" when arguments.Count == 1:
                var at = text.IndexOf(Argument(0), StringComparison.Ordinal);
                return at < 0 ? -1L : text.AsSpan(0, at).EnumerateRunes().Count();
            case "isdigit": return text.Length > 0 && text.EnumerateRunes().All(Rune.IsDigit);
            default: throw JinjaError.At(site, "a supported method of text", $"'{name}' with {arguments.Count} arguments");
        }
    }

    internal static string Joined(string separator, IEnumerable<string> parts, JinjaSite site)
    {
        var result = new StringBuilder();
        foreach (var (index, part) in parts.Index())
        {
            site.Make(part.Length + separator.Length + 8);
            if (index > 0) result.Append(separator);
            result.Append(part);
        }
        return result.ToString();
    }

    private static List<object?> Split(string text, List<object?> arguments, JinjaSite site)
    {
        var count = arguments.Count > 1 && JinjaValues.Integer(arguments[1], site) is >= 0 and var limit
            ? (int)Math.Min(limit, int.MaxValue - 1) + 1 : int.MaxValue;
        if (arguments.ElementAtOrDefault(0) is string separator)
        {
            if (separator.Length == 0) throw JinjaError.At(site, "a separator", "empty text");
            site.MakeItems(4 * (long)Math.Min(count, text.Length / separator.Length + 1));
            return [.. text.Split(separator, count)];
        }
        site.MakeItems(2 * text.Length);
        return count == int.MaxValue ? [.. text.Split(PythonText.Whitespace, StringSplitOptions.RemoveEmptyEntries)]
            : throw JinjaError.At(site, "a separator where a count is given", "none");
    }
}

file static class Runes
{
    internal static int Count(this SpanRuneEnumerator runes)
    {
        var count = 0;
        foreach (var _ in runes) count++;
        return count;
    }
}
