using System.Xml.Linq;
using Halo.Io;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Training.Reports;

/// <summary>report.html: one file that needs no network, no script and no fonts of its own.</summary>
/// <remarks>The page is built as a tree, so that every text is escaped by the one that writes the tree. It is a function of its data.</remarks>
internal static class TrainingReport
{
    /// <summary>Writes the page, replacing an older one.</summary>
    /// <exception cref="HaloException">The file cannot be written.</exception>
    public static void Write(string path, ReportData data) => AtomicFile.WriteText(path, Render(data));

    /// <summary>The page as text.</summary>
    public static string Render(ReportData data)
    {
        var train = data.Rows.Where(r => r.Kind == MetricsKind.Train).ToArray();
        var eval = data.Rows.Where(r => r.Kind == MetricsKind.Eval).ToArray();
        var body = Html.Tag("main",
            Html.Tag("h1", data.Title),
            Html.Div("subtitle", data.Subtitle),
            ReportSummary.Cards(train, eval),
            ReportPlots.Draw(train, eval),
            ReportSummary.Table(train, eval, data.Facts),
            data.Rewrite is { } rewrite ? ReportRewrite.Draw(rewrite) : null,
            Html.Tag("h2", "Configuration"),
            Html.Div("card", Html.Tag("pre", data.ConfigYaml.TrimEnd('\n'))));
        var head = Html.Tag("head",
            new XElement("meta", new XAttribute("charset", "utf-8")),
            new XElement("meta", new XAttribute("name", "viewport"), new XAttribute("content", "width=device-width, initial-scale=1")),
            Html.Tag("title", data.Title),
            Html.Tag("style", Style()));
        return "<!DOCTYPE html>\n" + new XElement("html", new XAttribute("lang", "en"), head, Html.Tag("body", body))
            .ToString(SaveOptions.DisableFormatting) + "\n";
    }

    private static string Style()
    {
        using var stream = typeof(TrainingReport).Assembly.GetManifestResourceStream("Halo.Runner.Training.Reports.report.css")!;
        return new StreamReader(stream).ReadToEnd();
    }
}
