using System.Globalization;
using System.Xml.Linq;
using Halo.Runner.Inspection;
using Halo.Runner.Training.Reports;

namespace Halo.Runner.Cli;

/// <summary>A <see cref="DataReport"/> and some rows as one page that needs no network and no script.</summary>
internal static class DataPage
{
    private const int Listed = 200;

    private const string Style = """
        :root { color-scheme: light dark; --learned: #b9e3c6; --mark: #8a93a0; }
        @media (prefers-color-scheme: dark) { :root { --learned: #1f5a37; --mark: #8f99a6; } }
        body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; }
        td, th { padding: 0 .8em 0 0; text-align: left; vertical-align: top; } .number { text-align: right; }
        .row { border: 1px solid #8884; border-radius: 6px; font: 13px/1.7 ui-monospace, monospace; margin: .5rem 0; overflow-wrap: anywhere; padding: .6rem; white-space: pre-wrap; }
        .learned { background: var(--learned); border-radius: 2px; } .mark { color: var(--mark); } .bar { background: #4b82c3; display: inline-block; height: .8em; }
        """;

    public static string Render(DataReport report, IReadOnlyList<ShownRow> rows)
    {
        var most = Math.Max(1, report.Lengths.Max(l => l.Rows));
        var body = Html.Tag("body",
            Html.Tag("h1", "Data"),
            Html.Tag("p", report.Data.Summary),
            Html.Tag("h2", "What to know"),
            Html.Tag("ul", report.Warnings.DefaultIfEmpty("nothing").Select(w => Html.Tag("li", w)).ToArray<object>()),
            Html.Tag("h2", "Lengths"),
            Html.Table(["tokens", "rows", ""], report.Lengths.Select(l => new object[] { $"{l.From} to {l.To}", l.Rows, Bar(20.0 * l.Rows / most) })),
            Html.Tag("p", string.Join("; ", DataText.Room(report))),
            Remarks("Cut and left out", report.Cut), Remarks("Duplicates", report.Duplicates),
            Html.Tag("h2", "Rows"),
            Html.Tag("p", "What is learned has a coloured ground; marks of the template are grey."),
            rows.Select(Row).ToArray<object>());
        var head = Html.Tag("head", new XElement("meta", new XAttribute("charset", "utf-8")), Html.Tag("title", "Data"), Html.Tag("style", Style));
        return "<!DOCTYPE html>\n" + new XElement("html", new XAttribute("lang", "en"), head, body).ToString(SaveOptions.DisableFormatting) + "\n";
    }

    private static XElement Bar(double width)
    {
        var bar = Html.Span("bar");
        bar.SetAttributeValue("style", string.Create(CultureInfo.InvariantCulture, $"width: {width:F2}em"));
        return bar;
    }

    private static object?[] Remarks(string title, IReadOnlyList<RowRemark> remarks) => remarks.Count == 0 ? [] :
    [
        Html.Tag("h2", title),
        Html.Table(["row", ""], remarks.Take(Listed).Select(r => new object[] { r.Place, r.Text })),
        remarks.Count > Listed ? Html.Tag("p", $"and {remarks.Count - Listed} more") : null,
    ];

    private static XElement Row(ShownRow row) => Html.Tag("section", Html.Tag("h3", row.Place), Html.Div("row", row.Tokens.Select(token =>
    {
        var span = Html.Span(token.IsLearned ? token.IsMark ? "learned mark" : "learned" : token.IsMark ? "mark" : "plain", token.Text);
        span.SetAttributeValue("title", $"{token.Id}");
        return span;
    }).ToArray<object>()));
}
