using Halo.Ir;
using Halo.Passes.Training;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Sources;
using Halo.Runner.Training;

namespace Halo.Tests.Runner.Plans;

/// <summary>Levers that are planned together, once for what they share, beside each planned alone.</summary>
public sealed class LeverPricesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public LeverPricesTests() => TinyChat.Write(_folder);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("")]
    [InlineData("offload: moments\n")]
    [InlineData("states: bf16\nbatch_size: 6\n")]
    [InlineData("recompute: elementwise\nrecompute_layers: 1\n")]
    [InlineData("adapter: {kind: lora, rank: 2}\n")]
    [InlineData("adapter: {kind: lora, rank: 2, base: int4}\n")]
    [InlineData("adapter: {kind: lora, rank: 2, base: int4}\noptimizer_in_backward: true\n")]
    public void Take_what_each_takes_alone(string settings)
    {
        var config = TrainConfig.Parse($"model: {_folder["model"]}\nscheme: halo-0\nformat: fp8\ndevice: cuda\nprecision: bf16\n"
            + $"micro_batch_size: 3\nsequence_length: 24\n{settings}");
        var rewritten = Rewritten(config);
        var prices = new LeverPrices(config, rewritten);
        prices.Prepare();
        Lever[] found = [.. prices.All, .. prices.Offers, prices.Of(config)];
        Assert.True(found.Length > 8, $"{found.Length} levers");
        Assert.All(found, lever =>
        {
            var alone = MemoryLevers.Try(lever.Config, rewritten);
            Assert.Equal(alone.Products, lever.Products);
            Assert.Equal(alone.Text, lever.Text);
            Assert.Equal(MemoryText.Table(alone.Memory), MemoryText.Table(lever.Memory));
        });
        Assert.True(found.Select(l => l.Memory.PeakBytes).Distinct().Count() > 4, "levers take different memory");
    }

    /// <summary>A base in 4 bits has its weights made again under any lever: the first two are one.</summary>
    [Fact]
    public void Levers_of_the_same_passes_are_planned_once()
    {
        var config = TrainConfig.Parse($"model: {_folder["model"]}\nadapter: {{kind: lora, rank: 2, base: int4}}\nscheme: halo-0\nformat: fp8\ndevice: cuda\n"
            + "precision: bf16\nmicro_batch_size: 3\nsequence_length: 24\n");
        var prices = new LeverPrices(config, Rewritten(config));
        Lever[] levers = [.. prices.All];
        Assert.Same(levers[0].Memory.Graphs, levers[1].Memory.Graphs);
        Assert.NotSame(levers[0].Memory.Graphs, levers[2].Memory.Graphs);
        Assert.Equal(Recomputed.Weights, levers[1].Config.Recompute);
    }

    private static Model Rewritten(TrainConfig config)
    {
        var rewritten = GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model;
        if (config.AdapterBase == BaseWeights.Int4)
            RoundedBase.Apply(rewritten);
        FrozenBase.Split(rewritten);
        return rewritten;
    }
}
