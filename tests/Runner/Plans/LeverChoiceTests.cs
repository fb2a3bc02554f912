using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
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
        double Of(TrainConfig config, double multiplications, double share = 1) => LeverTime.Seconds(config, 2, multiplications, memory, share);
        Assert.Equal(1.26, Of(Config with { Recompute = Recomputed.Layer }, 1e12) / Of(Config, 1e12), 1e-9);
        Assert.Equal(1.13, Of(Config with { Recompute = Recomputed.Layer }, 1e12, share: 0.5) / Of(Config, 1e12), 1e-9);
        Assert.True(Of(Config with { Offload = Offload.States }, 1) > Of(Config with { Offload = Offload.Moments }, 1));
    }

    /// <summary>Each copy by itself: what it takes of the bus, less the products between its start and its wait, both counted here from the graph's text.</summary>
    [Fact]
    public void A_copy_counts_what_products_beside_it_do_not_hide()
    {
        var memory = MemoryLevers.Try(Config with { OffloadResiduals = true }, Rewritten()).Memory;
        var order = memory.Graphs[0].Run.Buffers.Order.ToList();
        var copies = order.Where(n => n.OpType is nameof(OffloadStart) or nameof(FetchStart)).ToList();
        Assert.NotEmpty(copies);
        var expected = copies.Sum(copy =>
        {
            var wait = copy.Output.Uses.Single(u => u is { Index: 0, Node.OpType: nameof(CopyWait) }).Node;
            var between = order[order.IndexOf(copy)..order.IndexOf(wait)].Where(n => n.Facts.Role is Halo.Operators.OperatorRole.Product);
            var hidden = between.Sum(n => 2.0 * n.Output.Shape!.ElementCount!.Value * Contracted(n)) / 7e14;
            return Math.Max(0, (copy.Output.Shape!.ElementCount!.Value * copy.Output.Type.Bits() / 8 / LeverTime.Copies) - hidden);
        });
        Assert.True(expected > 0);
        Assert.Equal(expected, LeverTime.Wait(memory), expected * 1e-9);
        Assert.Equal(0, LeverTime.Wait(MemoryLevers.Try(Config, Rewritten()).Memory));

        static long Contracted(Node n) => n.Inputs[0]!.Shape![n.Int("transA", 0) != 0 ? 0 : -1].Size!.Value;
    }

    /// <summary>Small layers do not hide copies, large ones do; what is chosen, and why, follows from that alone.</summary>
    [Fact]
    public void Residuals_go_to_the_host_where_layers_hide_their_copies()
    {
        using var folder = new TemporaryFolder();
        folder.File("config.json", """
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 4,
             "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 512, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
             "tie_word_embeddings": false, "hidden_act": "silu", "torch_dtype": "bfloat16"}
            """);
        var config = TrainConfig.Parse($"model: {folder.Path}\nscheme: halo-0\nformat: fp8\ndevice: cuda\nprecision: bf16\nstates: bf16\n"
            + "micro_batch_size: 16\nsequence_length: 512\nbatch_size: 512\noffload: states\n");
        var rewritten = GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model;
        var prices = new LeverPrices(config, rewritten);
        var all = prices.Of(config with { Recompute = Recomputed.Layer }).Memory.PeakBytes;
        var budget = all + ((prices.Of(config).Memory.PeakBytes - all) / 4);
        var asSet = MemoryLevers.Try(config with { Recompute = Recomputed.Layer }, rewritten).Memory.PeakBytes;
        Assert.True(asSet <= budget);
        var chosen = LeverChoice.Of(prices, budget);
        Assert.True(chosen.Config.OffloadResiduals, chosen.Why);
        Assert.StartsWith("residuals are on the host: ", chosen.Why, StringComparison.Ordinal);
        Assert.True(chosen.Memory.PeakBytes <= budget);

        var least = prices.Of(config with { Recompute = Recomputed.Layer, OffloadResiduals = true }).Memory.PeakBytes;
        Assert.True(least < all);
        Assert.StartsWith("residuals are on the host as nothing fits without", LeverChoice.Of(prices, (least + all) / 2).Why, StringComparison.Ordinal);

        var small = new LeverPrices(Config, Rewritten());
        var (none, layer) = (small.Of(Config).Memory.PeakBytes, small.Of(Config with { Recompute = Recomputed.Layer }).Memory.PeakBytes);
        var kept = LeverChoice.Of(small, (none + layer) / 2);
        Assert.False(kept.Config.OffloadResiduals);
        Assert.StartsWith("residuals stay on the GPU", kept.Why, StringComparison.Ordinal);
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
