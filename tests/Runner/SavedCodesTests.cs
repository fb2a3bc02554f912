using System.Globalization;
using System.Text.Json;

namespace Halo.Tests.Runner;

/// <summary>Training whose gradients read 8-bit codes of the forward part.</summary>
public sealed class SavedCodesTests : IDisposable
{
    /// <summary>Updates at 1e-3 amplify codes of weights and activations that tip over: two percent at the fourth.</summary>
    private const double Drift = 0.05;

    private readonly TinyRun _run = new();

    public void Dispose() => _run.Dispose();

    /// <summary>The first loss comes before any gradient; the others stay near, and the plan takes less.</summary>
    [Fact]
    public void A_few_updates_go_as_they_do_without()
    {
        HaloConsole.Succeed(_run.Train("plain", 4, "--rederive", "true"));
        HaloConsole.Succeed(_run.Train("coded", 4, "--rederive", "true", "--saved-codes", "all"));
        var (plain, coded) = (Losses("plain"), Losses("coded"));
        Assert.Equal(plain[0], coded[0]);
        Assert.NotEqual(plain[1..], coded[1..]);
        Assert.All(plain.Zip(coded), pair => Assert.Equal(pair.First, pair.Second, Drift * pair.First));

        string[] plan = ["plan", "--model", _run.Graph, "--scheme", "halo-0", "--format", "fp8", "--rederive", "true"];
        var (levers, row) = (JsonDocument.Parse(HaloConsole.Succeed([.. plan, "--json"])).RootElement, "saved_codes");
        var offer = levers.GetProperty("levers").EnumerateArray().First(l => l.GetProperty(row).GetString() == "all");
        var chosen = JsonDocument.Parse(HaloConsole.Succeed([.. plan, "--saved-codes", "all", "--json"])).RootElement;
        Assert.Equal(offer.GetProperty("peak_bytes").GetInt64(), chosen.GetProperty("peak_bytes").GetInt64());
        Assert.True(chosen.GetProperty("peak_bytes").GetInt64() < levers.GetProperty("peak_bytes").GetInt64());
    }

    /// <summary>A setting that changes values is named, not taken.</summary>
    [Fact]
    public void What_fits_offers_codes_and_does_not_take_them()
    {
        string[] plan = ["plan", "--model", _run.Graph, "--scheme", "halo-0", "--format", "fp8", "--rederive", "true", "--fit", "auto", "--memory"];
        Assert.DoesNotContain("with recompute none, saved_codes", HaloConsole.Succeed([.. plan, "10GiB"]), StringComparison.Ordinal);
        Assert.Matches("recompute none, saved_codes all, .*; values change a little", HaloConsole.Succeed([.. plan, "10GiB"]));
    }

    [Theory]
    [InlineData("all", "Set rederive: true for a gradient of them")]
    [InlineData("norm", "expected all, or some of swiglu, norms, attention")]
    public void What_cannot_be_honoured_is_refused(string kinds, string message)
    {
        var (exitCode, _, error) = HaloConsole.Run(_run.Train("refused", 4, "--saved-codes", kinds));
        Assert.NotEqual(0, exitCode);
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    private double[] Losses(string output) => [.. _run.Updates(output).Select(u => double.Parse(u.Split(' ')[1], CultureInfo.InvariantCulture))];
}
