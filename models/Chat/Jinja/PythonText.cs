using System.Globalization;
using System.Text;

namespace Halo.Models.Chat.Jinja;

/// <summary>Python's spelling of values, which templates print.</summary>
internal static class PythonText
{
    /// <summary>What <c>str.isspace</c> holds of. [Python, Unicode White_Space and the separators 0x1C to 0x1F]</summary>
    internal static readonly char[] Whitespace = [.. Enumerable.Range(0, 0x3001).Select(c => (char)c)
        .Where(c => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F')];

    internal static string Str(object? value, JinjaSite site)
    {
        if (value is string text) return text;
        if (value is Undefined) return "";
        var result = new StringBuilder();
        Repr(result, value, site, 0);
        return result.ToString();
    }

    private static void Repr(StringBuilder result, object? value, JinjaSite site, int depth)
    {
        site.Inside(depth);
        var before = result.Length;
        switch (value)
        {
            case null: result.Append("None"); break;
            case bool flag: result.Append(flag ? "True" : "False"); break;
            case double number: result.Append(Float(number)); break;
            case long number: result.Append(number); break;
            case string text: Quoted(result, text); break;
            case Undefined: break;
            case List<object?> list:
                result.Append('[');
                foreach (var (index, item) in list.Index())
                {
                    if (index > 0) result.Append(", ");
                    Repr(result, item, site, depth + 1);
                }
                result.Append(']');
                return;
            case OrderedDictionary<string, object?> map:
                result.Append('{');
                foreach (var (index, (key, item)) in map.Index())
                {
                    if (index > 0) result.Append(", ");
                    Quoted(result, key);
                    result.Append(": ");
                    site.Make(key.Length + 4);
                    Repr(result, item, site, depth + 1);
                }
                result.Append('}');
                return;
            default: throw JinjaError.At(site, "a value that can be printed", "a function, a namespace or a loop");
        }
        site.Make(result.Length - before + 4);
    }

    private static void Quoted(StringBuilder result, string text)
    {
        var quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        result.Append(quote);
        foreach (var c in text)
        {
            switch (c)
            {
                case '\n': result.Append("\\n"); break;
                case '\r': result.Append("\\r"); break;
                case '\t': result.Append("\\t"); break;
                case '\\': result.Append("\\\\"); break;
                default: (c == quote ? result.Append('\\') : result).Append(c); break;
            }
        }
        result.Append(quote);
    }

    /// <summary>Python's <c>json.dumps</c> with <c>ensure_ascii=False</c>.</summary>
    /// <param name="value">A template value.</param>
    /// <param name="indent">Blanks per level, or null for one line.</param>
    /// <param name="site">Who pays.</param>
    internal static string Json(object? value, long? indent, JinjaSite site)
    {
        var result = new StringBuilder();
        Json(result, value, indent is { } width ? Math.Max(width, 0) : null, site, 0);
        return result.ToString();
    }

    private static void Json(StringBuilder result, object? value, long? indent, JinjaSite site, int depth)
    {
        site.Inside(depth);
        var before = result.Length;
        switch (value)
        {
            case null: result.Append("null"); break;
            case bool flag: result.Append(flag ? "true" : "false"); break;
            case double or long: result.Append(Str(value, site)); break;
            case string text: JsonQuoted(result, text); break;
            case List<object?> list: Wrapped('[', list, item => Json(result, item, indent, site, depth + 1), ']'); break;
            case OrderedDictionary<string, object?> map:
                Wrapped('{', map, pair =>
                {
                    JsonQuoted(result, pair.Key);
                    result.Append(": ");
                    site.Make(pair.Key.Length + 4);
                    Json(result, pair.Value, indent, site, depth + 1);
                }, '}');
                break;
            default: throw JinjaError.At(site, "a value that JSON has", JinjaValues.Described(value));
        }
        if (value is not (List<object?> or OrderedDictionary<string, object?>)) site.Make(result.Length - before + 2);

        void Wrapped<T>(char open, IReadOnlyCollection<T> items, Action<T> write, char close)
        {
            result.Append(open);
            foreach (var (index, item) in items.Index())
            {
                if (index > 0) result.Append(indent is null ? ", " : ",");
                Line(depth + 1);
                write(item);
            }
            if (items.Count > 0) Line(depth);
            result.Append(close);
        }

        void Line(int level)
        {
            if (indent is not { } width) return;
            site.Make(Math.Min(width, int.MaxValue) * level + 1);
            result.Append('\n').Append(' ', (int)(width * level));
        }
    }

    private static string Float(double number) => number == Math.Floor(number) && Math.Abs(number) < 1e16
        ? number.ToString("F1", CultureInfo.InvariantCulture) : number.ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant();

    private static void JsonQuoted(StringBuilder result, string text)
    {
        result.Append('"');
        foreach (var c in text)
        {
            switch (c)
            {
                case '"': result.Append("\\\""); break;
                case '\\': result.Append("\\\\"); break;
                case '\n': result.Append("\\n"); break;
                case '\r': result.Append("\\r"); break;
                case '\t': result.Append("\\t"); break;
                case '\b': result.Append("\\b"); break;
                case '\f': result.Append("\\f"); break;
                case < ' ': result.Append($"\\u{(int)c:x4}"); break;
                default: result.Append(c); break;
            }
        }
        result.Append('"');
    }
}
