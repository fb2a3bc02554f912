using System.Xml.Linq;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Training.Reports;

/// <summary>The cards at the top of the page and the table of the run.</summary>
internal static class ReportSummary
{
    public static XElement Cards(IReadOnlyList<MetricsRow> train, IReadOnlyList<MetricsRow> eval)
    {
        var cards = Html.Div("cards");
        if (eval.Count > 0)
        {
            cards.Add(Card("Validation loss", Change(eval, r => r.Loss.ToString("F3")), "nats per counted token"));
            cards.Add(Card("Validation perplexity", Change(eval, r => Perplexity(r.Loss)), "exp(loss)"));
        }
        else if (train.Count > 0) cards.Add(Card("Training loss", Change(train, r => r.Loss.ToString("F3")), "first and last step"));
        cards.Add(Card("Training time", [ProgressLine.Duration(Time(train))], $"{train.Count:#,0} steps"));
        if (Speed(train) is { } speed) cards.Add(Card("Throughput", [$"{speed:#,0}"], "tokens per second"));
        return cards;
    }

    public static object[] Table(IReadOnlyList<MetricsRow> train, IReadOnlyList<MetricsRow> eval, IReadOnlyList<ReportFact> facts)
    {
        var rows = new List<object[]>();
        void Add(string name, string value) => rows.Add([name, value]);
        if (eval.Count > 0)
        {
            Add("Validation before", $"loss {eval[0].Loss:F4}, perplexity {Perplexity(eval[0].Loss)}, at step {eval[0].Step:#,0}");
            if (eval.Count > 1) Add("Validation after", $"loss {eval[^1].Loss:F4}, perplexity {Perplexity(eval[^1].Loss)}, at step {eval[^1].Step:#,0}");
            var best = eval.MinBy(r => r.Loss)!;
            if (best != eval[^1]) Add("Validation best", $"loss {best.Loss:F4}, perplexity {Perplexity(best.Loss)}, at step {best.Step:#,0}");
        }
        if (train.Count > 0) Add("Training loss", $"{train[0].Loss:F4} at step {train[0].Step:#,0}, {train[^1].Loss:F4} at step {train[^1].Step:#,0}");
        Add("Tokens", $"{train.Sum(r => r.Tokens ?? 0):#,0} without padding, {train.Sum(r => r.CountedTokens ?? 0):#,0} counted in the loss");
        Add("Time in steps", ProgressLine.Duration(Time(train)));
        if (Speed(train) is { } speed) Add("Tokens per second", $"{speed:#,0} over all steps");
        if (MiddleRate(train) is { Tflops: { } tflops } rate)
            Add("Matrix products", $"{ProgressLine.Rate(tflops, rate.Bf16Share, rate.Fp8Share)}, the median step");
        rows.AddRange(facts.Select(f => new object[] { f.Name, f.Value }));
        return [Html.Tag("h2", "Run"), Html.Div("card scroll", Html.Table([], rows))];
    }

    private static XElement Card(string name, object[] value, string more) =>
        Html.Div("card", Html.Div("name", name), Html.Div("value", value), Html.Div("more", more));

    private static object[] Change(IReadOnlyList<MetricsRow> rows, Func<MetricsRow, string> text)
        => rows.Count == 1 ? [text(rows[0])] : [Html.Span("from", $"{text(rows[0])} \u2192 "), text(rows[^1])];

    private static string Perplexity(double loss) =>
        Math.Exp(loss) switch { < 100 and var p => p.ToString("F2"), < 1e6 and var p => p.ToString("#,0"), var p => p.ToString("0.0e0") };

    private static TimeSpan Time(IEnumerable<MetricsRow> train) => TimeSpan.FromMilliseconds(train.Sum(r => r.Milliseconds ?? 0));

    private static MetricsRow? MiddleRate(IReadOnlyList<MetricsRow> train)
    {
        var rates = train.Where(r => r.Tflops is not null).OrderBy(r => r.Tflops).ToList();
        return rates.Count == 0 ? null : rates[rates.Count / 2];
    }

    private static double? Speed(IReadOnlyList<MetricsRow> train)
        => Time(train).TotalSeconds is > 0 and var seconds && train.Sum(r => r.Tokens ?? 0) is > 0 and var tokens ? tokens / seconds : null;
}
