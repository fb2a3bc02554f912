using System.Xml;
using System.Xml.Linq;

namespace Halo.Runner.Training.Reports;

/// <summary>Elements of a page. Texts are escaped when the tree is written; characters that no page may hold become U+FFFD.</summary>
internal static class Html
{
    /// <summary>An element that is never written as an empty one (<c>&lt;p /&gt;</c> opens a paragraph in HTML). Null parts are left out.</summary>
    public static XElement Tag(string name, params object?[] parts) => new(name, "", parts.Select(p => p is string s ? Clean(s) : p));

    public static XElement Div(string style, params object?[] parts) => Styled("div", style, parts);

    public static XElement Span(string style, params object?[] parts) => Styled("span", style, parts);

    /// <summary>A table in a card; a cell is text, a number (right-aligned) or an element.</summary>
    public static XElement Table(IReadOnlyList<string> head, IEnumerable<object[]> rows)
    {
        var body = rows.ToArray();
        bool Numeric(int column) => body.Length > 0 && body[0][column] is int or long;
        var header = head.Count == 0 ? null : Tag("tr", head.Select((h, i) => Styled("th", Numeric(i) ? "number" : "", h)).ToArray<object>());
        return Tag("table", header, body.Select(row => Tag("tr", row.Select(Cell).ToArray<object>())));
    }

    private static XElement Cell(object value) => value switch
    {
        int or long => Styled("td", "number", $"{value:#,0}"),
        _ => Tag("td", value),
    };

    private static XElement Styled(string name, string style, params object?[] parts)
    {
        var tag = Tag(name, parts);
        if (style.Length > 0) tag.SetAttributeValue("class", style);
        return tag;
    }

    private static string Clean(string text)
    {
        if (text.AsSpan().IndexOfAnyExceptInRange(' ', '~') < 0) return text;
        var clean = text.ToCharArray();
        for (var i = 0; i < clean.Length; i++)
        {
            if (i + 1 < clean.Length && XmlConvert.IsXmlSurrogatePair(clean[i + 1], clean[i])) i++;
            else if (!XmlConvert.IsXmlChar(clean[i]) || clean[i] == '\r') clean[i] = clean[i] == '\r' ? ' ' : '\uFFFD';
        }
        return new string(clean);
    }
}
