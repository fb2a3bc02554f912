using System.Globalization;
using System.Text;
using System.Xml.Linq;

namespace Halo.Runner.Training.Reports;

/// <summary>One curve. Points that are not finite are left out.</summary>
/// <param name="Name">For the legend.</param>
/// <param name="Style">CSS class: which colour.</param>
/// <param name="Points">By rising X.</param>
/// <param name="Mark">How the points are drawn.</param>
internal sealed record PlotSeries(string Name, string Style, IReadOnlyList<(double X, double Y)> Points, PlotMark Mark);

internal enum PlotMark
{
    Line,

    /// <summary>A pale line and, where there are many points, their moving mean.</summary>
    NoisyLine,

    /// <summary>A dot with a tooltip each, not joined: between two evaluations nothing is known.</summary>
    Dots,
}

/// <summary>A line plot as inline SVG. Colours come from the page's style sheet, so that it follows light and dark.</summary>
/// <param name="Name">What is plotted; read out by screen readers.</param>
/// <param name="Width">Of the drawing, in its own units.</param>
/// <param name="Height">Of the drawing, in its own units.</param>
/// <param name="FromZero">The vertical axis begins at 0.</param>
/// <param name="LogFrom">The ratio of largest to least value from which the vertical axis is logarithmic.</param>
internal sealed record LinePlot(string Name, int Width, int Height, bool FromZero = false, double LogFrom = double.PositiveInfinity)
{
    private const int Left = 46, Right = 12, Top = 8, Bottom = 36; // margins: room for tick labels of six characters, and for "step"
    private const int PointsShown = 600; // more would be finer than the drawing
    private const int SmoothedFrom = 60; // below, the eye smooths better

    public XElement Draw(IReadOnlyList<PlotSeries> series)
    {
        series = series.Select(s => s with { Points = s.Points.Where(p => double.IsFinite(p.Y)).ToArray() }).Where(s => s.Points.Count > 0).ToArray();
        var svg = new XElement("svg", new XAttribute("viewBox", $"0 0 {Width} {Height}"), new XAttribute("role", "img"), new XAttribute("aria-label", Name));
        if (series.Count == 0)
        {
            svg.Add(Text("nothing was recorded", Width / 2.0, Height / 2.0, "middle"));
            return svg;
        }
        var points = series.SelectMany(s => s.Points).ToArray();
        var x = AxisTicks.Linear(0, points.Max(p => p.X), Width / 80, tight: true, leastStep: 1);
        var y = Vertical(points.Select(p => p.Y).ToArray());
        double AtX(double value) => Left + x.Place(value) * (Width - Left - Right);
        double AtY(double value) => Height - Bottom - y.Place(value) * (Height - Top - Bottom);

        foreach (var tick in y.Values)
            svg.Add(Line("grid", Left, AtY(tick), Width - Right, AtY(tick)), Text(y.Label(tick), Left - 8, AtY(tick) + 4, "end"));
        svg.Add(Line("axis", Left, Height - Bottom, Width - Right, Height - Bottom));
        foreach (var tick in x.Values)
            svg.Add(Line("axis", AtX(tick), Height - Bottom, AtX(tick), Height - Bottom + 4), Text(x.Label(tick), AtX(tick), Height - Bottom + 17, "middle"));
        svg.Add(Text("step", (Left + Width - Right) / 2.0, Height - 3, "middle"));

        foreach (var s in series)
        {
            var smooth = s.Mark == PlotMark.NoisyLine && s.Points.Count >= SmoothedFrom;
            if (s.Mark != PlotMark.Dots) svg.Add(Path(s.Style + (smooth ? " raw" : ""), Thinned(s.Points), AtX, AtY));
            if (smooth) svg.Add(Path(s.Style, Thinned(Smoothed(s.Points)), AtX, AtY));
            if (s.Mark == PlotMark.Dots || s.Points.Count == 1) svg.Add(s.Points.Select(p => Marker(s, p, AtX(p.X), AtY(p.Y))));
        }
        return svg;
    }

    private AxisTicks Vertical(double[] values)
    {
        double low = values.Min(), high = values.Max();
        var count = Math.Max(3, Height / 45);
        if (low > 0 && high / low >= LogFrom) return AxisTicks.Logarithmic(low, high);
        return AxisTicks.Linear(FromZero ? Math.Min(0, low) : low, high, count);
    }

    /// <summary>Mean over about a twentieth of the points, as many on either side, so that it does not lag; fewer near the ends.</summary>
    private static (double X, double Y)[] Smoothed(IReadOnlyList<(double X, double Y)> points)
    {
        var sums = new double[points.Count + 1];
        for (var i = 0; i < points.Count; i++) sums[i + 1] = sums[i] + points[i].Y;
        return points.Select((p, i) =>
        {
            var reach = Math.Min(Math.Max(2, points.Count / 40), Math.Min(i, points.Count - 1 - i));
            return (p.X, (sums[i + reach + 1] - sums[i - reach]) / (2 * reach + 1));
        }).ToArray();
    }

    /// <summary>The least and largest point of each of 300 stretches, in order: what a finer drawing would show.</summary>
    private static IEnumerable<(double X, double Y)> Thinned(IReadOnlyList<(double X, double Y)> points)
        => points.Count <= PointsShown
            ? points
            : points.Chunk((points.Count + PointsShown / 2 - 1) / (PointsShown / 2))
                .SelectMany(c => new[] { c.MinBy(p => p.Y), c.MaxBy(p => p.Y) }.Distinct().OrderBy(p => p.X));

    private static XElement Path(string style, IEnumerable<(double X, double Y)> points, Func<double, double> atX, Func<double, double> atY)
    {
        var path = new StringBuilder();
        foreach (var (x, y) in points) path.Append(path.Length == 0 ? 'M' : 'L').Append(Number(atX(x))).Append(' ').Append(Number(atY(y)));
        return new XElement("path", new XAttribute("class", $"curve {style}"), new XAttribute("d", path.ToString()));
    }

    private static XElement Marker(PlotSeries series, (double X, double Y) point, double x, double y)
        => new("circle", new XAttribute("class", $"dot {series.Style}"), new XAttribute("cx", Number(x)), new XAttribute("cy", Number(y)),
            new XAttribute("r", 3.5),
            new XElement("title", $"{series.Name}, step {point.X}: {point.Y:G5}"));

    private static XElement Line(string style, double x1, double y1, double x2, double y2)
        => new("line", new XAttribute("class", style), new XAttribute("x1", Number(x1)), new XAttribute("y1", Number(y1)), new XAttribute("x2", Number(x2)),
            new XAttribute("y2", Number(y2)));

    private static XElement Text(string text, double x, double y, string anchor)
        => new("text", new XAttribute("x", Number(x)), new XAttribute("y", Number(y)), new XAttribute("text-anchor", anchor), text);

    private static string Number(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);
}
