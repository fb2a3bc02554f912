using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Sources;
using Halo.Runner.Training;

namespace Halo.Tests.Runner;

/// <summary>Sums of gradients in bfloat16: what the plan says of them, and where they are refused. What they do to training stands in the tests of the emulated GPU.</summary>
public sealed class GradientSumsTests
{
    private static readonly string[] Options = ["--model", LlamaTiny.Folder, "--device", "cuda", "--precision", "bf16", "--micro-batch-size", "1", "--sequence-length", "16"];

    [Fact]
    public void The_plan_offers_them_for_half_of_what_sums_take()
    {
        string[] several = [.. Options, "--states", "bf16", "--batch-size", "4"];
        Assert.Contains("gradient_sums bf16, 100 % of the products; values change a little", HaloConsole.Succeed(["plan", .. several]), StringComparison.Ordinal);
        Assert.Contains("with recompute none, gradient_sums bf16; others:", HaloConsole.Succeed(["plan", .. several, "--gradient-sums", "bf16"]), StringComparison.Ordinal);
        Assert.DoesNotContain("gradient_sums", HaloConsole.Succeed(["plan", .. Options, "--batch-size", "4"]), StringComparison.Ordinal);
        Assert.DoesNotContain("gradient_sums", HaloConsole.Succeed(["plan", .. Options, "--states", "bf16"]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gradient_sums bf16: expected states bf16 with it, whose gradients are bfloat16, found parameters of float", "--batch-size", "4")]
    [InlineData("gradient_sums bf16: expected updates of several micro-batches, whose gradients are summed, found a batch of 1 rows, one micro-batch", "--states", "bf16")]
    [InlineData("gradient_sums bf16: expected updates of several micro-batches, whose gradients are summed, found optimizer_in_backward", "--states", "bf16",
        "--optimizer-in-backward", "true")]
    [InlineData("gradient_sums: expected none, where several ranks share a run", "--states", "bf16", "--batch-size", "4", "--ranks", "2")]
    public void They_are_refused_where_none_would_be_made(string expected, params string[] options)
    {
        var (exitCode, _, error) = HaloConsole.Run(["plan", .. Options, "--gradient-sums", "bf16", .. options]);
        Assert.Equal(2, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    /// <summary>The choice keeps values, and says what would be saved beside them.</summary>
    [Fact]
    public void Auto_names_them_and_does_not_take_them()
    {
        var config = TrainConfig.Parse($"model: {LlamaTiny.Folder}\ndevice: cuda\nprecision: bf16\nstates: bf16\nscheme: halo-0\nformat: fp8\n"
            + "micro_batch_size: 2\nsequence_length: 64\nbatch_size: 8\nfit: auto\n");
        var rewritten = GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config));
        var prices = new LeverPrices(config, rewritten.Model.Clone()); // what is applied changes the graph
        var layers = prices.Of(config with { Recompute = Recomputed.Layer });
        var said = new List<string>();
        var chosen = MemoryLevers.Apply(config with { Memory = $"{(layers.Memory.PeakBytes >> 10) + 1}KiB" }, rewritten, said.Add);
        Assert.Equal(StatePrecision.Fp32, chosen.GradientSums);
        var halved = prices.Of(chosen with { GradientSums = StatePrecision.Bf16 });
        Assert.Contains(said, line => line.Contains($"with --gradient-sums bf16 that would be {MemorySize.Text(halved.Memory.PeakBytes)}; it changes values", StringComparison.Ordinal));
        var plain = prices.Of(chosen);
        Assert.Equal(plain.Memory.BytesOf("sums of gradients"), 2 * halved.Memory.BytesOf("sums of gradients"), plain.Memory.BytesOf("sums of gradients") / 1000.0);
        Assert.Equal(plain.Memory.PeakBytes - halved.Memory.PeakBytes, halved.Memory.BytesOf("sums of gradients"), plain.Memory.BytesOf("sums of gradients") / 1000.0);
    }
}
