using System.Globalization;
using System.Text;

namespace Halo.Models.Chat.Jinja;

/// <summary>Python's spelling of values, which templates print.</summary>
internal static class PythonText
{
    /// <summary>What <c>str.isspace</c> holds of. [Python, Unicode White_Space and the separators 0x1C to 0x1F]</summary>
    internal static readonly char[] Whitespace = [.. Enumerable.Range(0, 0x3001).Select(c => (char)c)
        .Where(c => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F')];

    internal static string Str(object? value) => value switch
    {
        string text => text,
        Undefined => "",
        null => "None",
        bool flag => flag ? "True" : "False",
        double number => Float(number),
        long number => number.ToString(CultureInfo.InvariantCulture),
        List<object?> list => $"[{string.Join(", ", list.Select(Repr))}]",
        OrderedDictionary<string, object?> map => $"{{{string.Join(", ", map.Select(p => $"{Repr(p.Key)}: {Repr(p.Value)}"))}}}",
        _ => value.ToString()!,
    };

    private static string Repr(object? value)
    {
        if (value is not string text) return Str(value);
        var quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        var result = new StringBuilder().Append(quote);
        foreach (var c in text)
            result.Append(c switch { '\n' => "\\n", '\r' => "\\r", '\t' => "\\t", '\\' => "\\\\", _ => c == quote ? $"\\{c}" : c.ToString() });
        return result.Append(quote).ToString();
    }

    /// <summary>Python's <c>json.dumps</c> with <c>ensure_ascii=False</c>.</summary>
    /// <param name="value">A template value.</param>
    /// <param name="indent">Blanks per level, or null for one line.</param>
    /// <param name="level">Of nesting.</param>
    internal static string Json(object? value, int? indent, int level = 0)
    {
        string Wrapped(char open, IEnumerable<string> items, char close) =>
            !items.Any() ? $"{open}{close}"
            : indent is not { } width ? $"{open}{string.Join(", ", items)}{close}"
            : $"{open}{Line(width, level + 1)}{string.Join($",{Line(width, level + 1)}", items)}{Line(width, level)}{close}";
        static string Line(int width, int level) => $"\n{new string(' ', width * level)}";
        return value switch
        {
            null => "null",
            bool flag => flag ? "true" : "false",
            string text => Quoted(text),
            List<object?> list => Wrapped('[', list.Select(item => Json(item, indent, level + 1)), ']'),
            OrderedDictionary<string, object?> map => Wrapped('{', map.Select(p => $"{Quoted(p.Key)}: {Json(p.Value, indent, level + 1)}"), '}'),
            _ => Str(value),
        };
    }

    private static string Float(double number) => number == Math.Floor(number) && Math.Abs(number) < 1e16
        ? number.ToString("F1", CultureInfo.InvariantCulture) : number.ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant();

    private static string Quoted(string text)
    {
        var result = new StringBuilder().Append('"');
        foreach (var c in text)
            result.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\b' => "\\b",
                '\f' => "\\f",
                < ' ' => $"\\u{(int)c:x4}",
                _ => c.ToString(),
            });
        return result.Append('"').ToString();
    }
}
