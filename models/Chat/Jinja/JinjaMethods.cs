namespace Halo.Models.Chat.Jinja;

/// <summary>The methods of text and mappings that chat templates call.</summary>
internal static class JinjaMethods
{
    /// <returns>Null if the value has no such method.</returns>
    internal static JinjaFunction? Of(object? target, string name) => target switch
    {
        string text when IsTextMethod(name) => (arguments, _, line) => OfText(text, name, arguments, line),
        OrderedDictionary<string, object?> map => name switch
        {
            "items" => (_, _, _) => map.Select(p => (object?)new List<object?> { p.Key, p.Value }).ToList(),
            "keys" => (_, _, _) => map.Keys.Select(key => (object?)key).ToList(),
            "values" => (_, _, _) => map.Values.ToList(),
            "get" => (arguments, _, line) => map.TryGetValue(JinjaValues.Text(arguments.ElementAtOrDefault(0), line), out var value) ? value
                : arguments.ElementAtOrDefault(1),
            _ => null,
        },
        _ => null,
    };

    internal static string Capitalized(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    private static bool IsTextMethod(string name) =>
        name is "strip" or "lstrip" or "rstrip" or "split" or "rsplit" or "splitlines" or "startswith" or "endswith"
        or "replace" or "upper" or "lower" or "title" or "capitalize" or "join" or "find" or "count" or "isdigit";

    private static object? OfText(string text, string name, List<object?> arguments, int line)
    {
        string Argument(int index) => JinjaValues.Text(arguments.ElementAtOrDefault(index) ?? new Undefined($"argument {index + 1} of {name}"), line);
        char[] Stripped() => arguments.ElementAtOrDefault(0) is string chars ? chars.ToCharArray() : PythonText.Whitespace;
        return name switch
        {
            "strip" => text.Trim(Stripped()),
            "lstrip" => text.TrimStart(Stripped()),
            "rstrip" => text.TrimEnd(Stripped()),
            "split" => Split(text, arguments, line),
            "splitlines" => text.Length == 0 ? [] : (text.EndsWith('\n') ? text[..^1] : text).Split('\n').Select(part => (object?)part.TrimEnd('\r')).ToList(),
            "startswith" => text.StartsWith(Argument(0), StringComparison.Ordinal),
            "endswith" => text.EndsWith(Argument(0), StringComparison.Ordinal),
            "replace" when Argument(0).Length > 0 => text.Replace(Argument(0), Argument(1), StringComparison.Ordinal),
            "upper" => text.ToUpperInvariant(),
            "lower" => text.ToLowerInvariant(),
            "capitalize" => Capitalized(text),
            "join" => string.Join(text, JinjaValues.Items(arguments.ElementAtOrDefault(0), line).Select(item => JinjaValues.Text(item, line))),
            "find" => (long)text.IndexOf(Argument(0), StringComparison.Ordinal),
            "isdigit" => text.Length > 0 && text.All(char.IsDigit),
            _ => throw JinjaError.At(line, "a supported method of text", $"'{name}'"),
        };
    }

    private static List<object?> Split(string text, List<object?> arguments, int line)
    {
        var count = arguments.Count > 1 && JinjaValues.Integer(arguments[1], line) is >= 0 and var limit
            ? (int)Math.Min(limit, int.MaxValue - 1) + 1 : int.MaxValue;
        if (arguments.ElementAtOrDefault(0) is string separator)
            return separator.Length == 0 ? throw JinjaError.At(line, "a separator", "empty text") : [.. text.Split(separator, count)];
        return count == int.MaxValue ? [.. text.Split(PythonText.Whitespace, StringSplitOptions.RemoveEmptyEntries)]
            : throw JinjaError.At(line, "a separator where a count is given", "none");
    }
}
