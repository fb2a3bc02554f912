using System.Xml.Linq;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Training.Reports;

/// <summary>The curves of a run: the loss across the page, the rest in smaller plots under it.</summary>
internal static class ReportPlots
{
    public static object[] Draw(IReadOnlyList<MetricsRow> train, IReadOnlyList<MetricsRow> eval) =>
    [
        Figure(new LinePlot("Loss", 1000, 340, LogFrom: 10), new PlotSeries("training", "loss", Points(train, r => r.Loss), PlotMark.NoisyLine),
            new PlotSeries("validation", "eval", Points(eval, r => r.Loss), PlotMark.Dots)),
        Html.Div("plots",
            Figure(new LinePlot("Gradient norm", 330, 210, LogFrom: 30), new PlotSeries("", "norm", Points(train, r => r.GradientNorm), PlotMark.NoisyLine)),
            Figure(new LinePlot("Learning rate", 330, 210, FromZero: true), new PlotSeries("", "rate", Points(train, r => r.LearningRate), PlotMark.Line)),
            Figure(new LinePlot("Tokens per second", 330, 210, FromZero: true),
                new PlotSeries("", "speed", Points(train, r => r.TokensPerSecond), PlotMark.NoisyLine))),
    ];

    private static XElement Figure(LinePlot plot, params PlotSeries[] series)
    {
        var keys = series.Where(s => s.Name.Length > 0 && s.Points.Count > 0).Select(s => Html.Span("key", Html.Span($"swatch {s.Style}"), s.Name));
        return Html.Div("card",
            Html.Tag("figure", Html.Tag("figcaption", Html.Tag("h3", plot.Name), keys), Html.Div(plot.Width > 500 ? "wide" : "", plot.Draw(series))));
    }

    private static (double X, double Y)[] Points(IEnumerable<MetricsRow> rows, Func<MetricsRow, double?> value)
        => rows.Where(r => value(r) is not null).Select(r => ((double)r.Step, value(r)!.Value)).ToArray();
}
