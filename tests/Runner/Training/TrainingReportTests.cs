using System.Xml.Linq;
using CsCheck;
using Halo.Runner.Training.Reports;

namespace Halo.Tests.Runner.Training;

public sealed class TrainingReportTests
{
    [Fact]
    public void A_page_has_its_plots_tables_and_config()
    {
        var page = TrainingReport.Render(Sample());
        var tree = Tree(page);
        Assert.Equal(["Loss", "Gradient norm", "Learning rate", "Tokens per second"], tree.Descendants("svg").Select(s => s.Attribute("aria-label")!.Value));
        Assert.Equal(5, tree.Descendants("svg").First().Elements("circle").Count());
        Assert.Contains("rotate-operands", page);
        Assert.Contains("learning_rate: 0.001", tree.Descendants("pre").Single().Value);
        Assert.Equal(page, TrainingReport.Render(Sample()));
        if (Environment.GetEnvironmentVariable("HALO_REPORT_SAMPLE") is { } path) TrainingReport.Write(path, Sample()); // to look at it
    }

    [Fact]
    public void A_page_loads_nothing()
    {
        var page = TrainingReport.Render(Sample());
        foreach (var word in new[] { "http:", "https:", "<script", "<link", "@import", "url(" }) Assert.DoesNotContain(word, page);
    }

    [Fact]
    public void Every_text_is_escaped()
    {
        const string Bad = "<b>&\"'\u0001\ud83d";
        var page = TrainingReport.Render(new ReportData
        {
            Title = Bad,
            Subtitle = Bad,
            ConfigYaml = Bad,
            Rows = [],
            Facts = [new(Bad, Bad)],
            Rewrite = new(1, 0, [new(Bad, Bad, Bad, 1)], [new(Bad, Bad, 1, Bad, Bad)], [new(Bad, Bad)]),
        });
        Assert.DoesNotContain("<b>", page);
        Assert.DoesNotContain('\u0001', page);
        Tree(page);
    }

    [Fact]
    public void Any_run_can_be_drawn() => Gen.Select(Gen.OneOf(Gen.Double, Gen.Double[0, 10]).Array[0, 30], Gen.Int[0, 30]).Sample((losses, evals) =>
    {
        var rows = losses.Select((loss, i) => MetricsTests.Train(i + 1) with { Loss = loss, GradientNorm = Math.Abs(loss) })
            .Concat(Enumerable.Range(0, evals).Select(MetricsTests.Eval)).ToArray();
        var page = TrainingReport.Render(new ReportData { Title = "a", Rows = rows, ConfigYaml = "" });
        Assert.DoesNotContain("NaN", page);
        Assert.DoesNotContain("\u221E", string.Concat(Tree(page).Descendants("path").Select(p => p.Attribute("d")!.Value)));
    }, iter: 300);

    [Theory]
    [InlineData(0.29, 4.53, 6, "0 1 2 3 4 5")]
    [InlineData(0, 0.001, 4, "0 5e-4 1e-3")]
    [InlineData(0, 41200, 4, "0 20k 40k 60k")]
    [InlineData(1.1, 1.32, 4, "1.1 1.2 1.3 1.4")]
    [InlineData(2, 2, 4, "1.0 1.5 2.0 2.5 3.0")]
    public void Linear_ticks_are_round(double low, double high, int count, string labels)
    {
        var axis = AxisTicks.Linear(low, high, count);
        Assert.Equal(labels, string.Join(' ', axis.Values.Select(axis.Label)));
        Assert.True(axis.Low <= low && high <= axis.High);
    }

    [Theory]
    [InlineData(0.3, 45, "0.2 0.5 1 2 5 10 20 50")]
    [InlineData(0.02, 3e4, "0.01 0.1 1 10 100 1000 1e4 1e5")]
    [InlineData(1e-9, 1e9, "1e-9 1e-6 0.001 1 1000 1e6 1e9")]
    public void Logarithmic_ticks_are_powers(double low, double high, string labels)
    {
        var axis = AxisTicks.Logarithmic(low, high);
        Assert.Equal(labels, string.Join(' ', axis.Values.Select(axis.Label)));
        Assert.True(axis.Low <= low && high <= axis.High * (1 + 1e-9));
    }

    private static XElement Tree(string page) => XElement.Parse(page["<!DOCTYPE html>\n".Length..]);

    private static ReportData Sample()
    {
        var noise = new Halo.Runner.Data.SplitMix64(7);
        double Noise() => noise.Below(2000) / 1000.0 - 1;
        var train = Enumerable.Range(0, 180).Select(k => new MetricsRow
        {
            Step = k + 1,
            Kind = MetricsKind.Train,
            Loss = 0.29 + 4.2 * Math.Exp(-k / 9.0) * (1 + 0.1 * Noise()) + 0.05 * Math.Abs(Noise()),
            GradientNorm = 0.5 + 40 * Math.Exp(-k / 6.0) + 0.2 * Noise(),
            LearningRate = 1e-3 * Math.Min(1, (k + 1) / 20.0) * (1 - k / 180.0),
            Milliseconds = 310 + 25 * Noise() + (k == 0 ? 400 : 0),
            Tokens = 4100 + (long)(300 * Noise()),
            CountedTokens = 900,
        });
        var eval = new[] { 0, 45, 90, 135, 180 }
            .Select((step, i) => new MetricsRow { Step = step, Kind = MetricsKind.Eval, Loss = new[] { 4.533, 0.41, 0.33, 0.305, 0.292 }[i] });
        return new ReportData
        {
            Title = "llama-tiny on SQL",
            Subtitle = "llama-tiny \u00b7 halo-2 \u00b7 fp8 \u00b7 cpu",
            Rows = train.Concat(eval).OrderBy(r => r.Step).ToArray(),
            ConfigYaml = new TrainConfig
            {
                Model = "llama-tiny",
                Scheme = "halo-2",
                Format = "fp8",
                LearningRate = 1e-3,
                WarmupSteps = 20,
                Epochs = 4,
                BatchSize = 32
            }.ToYaml(),
            Facts = [new("Parameters", "4.0 M"), new("Rows", "1,470 of 1,470; none truncated")],
            Rewrite = new(29, 0,
                [new("F", "K", "e4m3, e4m3", 28), new("E", "N + M", "e4m3, e4m3", 28), new("G", "N", "e4m3, e4m3", 28), new("F, E, G", "", "", 3)],
                [
                    new("fold-constants", "", 112, "exact"), new("rotate-operands", "{scheme=halo-2}", 84, "reassociating", "relative error 3.1e-06"),
                    new("quantize-operands", "{format=fp8}", 84, "quantizing", "SQNR 27.4 dB"),
                ],
                [new("lm_head/MatMul", "the last linear before the loss stays as it is")]),
        };
    }
}
