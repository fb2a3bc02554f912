using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Serialization;

namespace Halo.Tests.Runner.Plans;

/// <summary>What <c>fit: auto</c> takes, against every combination planned by itself.</summary>
public class LeverChoiceTests
{
    private static readonly TrainConfig Config = new() { Model = "model", Device = GraphDevice.Cuda, BatchSize = 6 };

    /// <summary>Nothing that fits is faster, and nothing is taken that changes values. Shares are of what lies between the least of all and what none takes.</summary>
    [Theory]
    [InlineData(GraphDevice.Cuda)]
    [InlineData(GraphDevice.Cpu)]
    public void The_fastest_that_fits_is_taken(GraphDevice device)
    {
        var (rewritten, config) = (Rewritten(), Config with { Device = device });
        var all = All(config).ToDictionary(c => c, c => MemoryLevers.Try(c, rewritten).Memory);
        var (none, least) = (all[config], all.Values.Min(m => m.PeakBytes));
        foreach (var share in new[] { 1, 0.9, 0.6, 0.3, 0 })
        {
            var budget = least + (long)(share * (none.PeakBytes - least));
            var chosen = LeverChoice.Of(new LeverPrices(config, rewritten), budget);
            Assert.True(chosen.Memory.PeakBytes <= budget);
            Assert.Equal(MemoryLevers.Try(chosen.Config, rewritten).Memory.PeakBytes, chosen.Memory.PeakBytes);
            Assert.Equal(config, chosen.Config with { Recompute = default, RecomputeLayers = null, Offload = default });
            var seconds = Seconds(chosen.Config);
            foreach (var (other, memory) in all.Where(c => Seconds(c.Key) < seconds))
                Assert.True(memory.PeakBytes > budget, $"recompute {other.Recompute}, offload {other.Offload} fits");
        }

        double Seconds(TrainConfig one) =>
            LeverTime.Seconds(one, LeverChoice.MicroBatches(one, rewritten), MemoryLevers.Multiplications(rewritten.Graph), none);
    }

    [Fact]
    public void What_a_config_puts_on_the_host_stays_there()
    {
        var rewritten = Rewritten();
        var chosen = LeverChoice.Of(new LeverPrices(Config with { Offload = Offload.Moments, OffloadResiduals = true }, rewritten), long.MaxValue).Config;
        Assert.Equal((Recomputed.None, Offload.Moments, true), (chosen.Recompute, chosen.Offload, chosen.OffloadResiduals));
    }

    [Fact]
    public void What_fits_in_no_way_names_the_least() => Assert.Contains("as the least, which takes",
        Assert.Throws<HaloException>(() => LeverChoice.Of(new LeverPrices(Config, Rewritten()), 1)).Message, StringComparison.Ordinal);

    /// <summary>Ways to the host and back take time where layers compute for less than they take.</summary>
    [Fact]
    public void Time_counts_what_is_computed_again_and_what_crosses_the_bus()
    {
        var memory = MemoryLevers.Try(Config with { OffloadResiduals = true }, Rewritten()).Memory;
        double Of(TrainConfig config, double multiplications) => LeverTime.Seconds(config, 2, multiplications, memory);
        Assert.Equal(1.26, Of(Config with { Recompute = Recomputed.Layer }, 1e12) / Of(Config, 1e12), 1e-9);
        Assert.Equal(Of(Config, 1e12), Of(Config with { OffloadResiduals = true }, 1e12));
        Assert.True(Of(Config with { OffloadResiduals = true }, 1) > Of(Config, 1));
        Assert.True(Of(Config with { Offload = Offload.States }, 1) > Of(Config with { Offload = Offload.Moments }, 1));
    }

    private static IEnumerable<TrainConfig> All(TrainConfig config) =>
        from recompute in LeverPrices.CheapestFirst
        from offload in config.Device == GraphDevice.Cuda ? Enum.GetValues<Offload>() : [Offload.None]
        select config with { Recompute = recompute, Offload = offload };

    private static Model Rewritten()
    {
        var model = OnnxReader.Read(ExportFixture.File("llama3-gqa", "training.onnx"), HaloOperators.Catalogue);
        PassManager.Run(model, Pipelines.Parse($"{Pipelines.Cleanup},{Pipelines.Rederive},quantize-operands{{format=fp8}},{Pipelines.FuseForGpu}"),
            new PassOptions { Evaluator = new OnnxEvaluator() });
        return model;
    }
}
