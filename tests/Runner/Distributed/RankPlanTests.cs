using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Passes.Sharding;
using Halo.Passes.Training;
using Halo.Runner.Cli;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Tests.Runner.Distributed;

/// <summary>What <c>halo plan --ranks</c> says, from graphs alone.</summary>
public class RankPlanTests
{
    private static readonly TrainConfig Config = TrainConfig.Load(null, new Dictionary<string, string>
    {
        ["model"] = LlamaTiny.Folder,
        ["device"] = "cuda",
        ["precision"] = "bf16",
        ["states"] = "bf16",
        ["scheme"] = "halo-1",
        ["format"] = "fp8",
        ["recompute"] = "weights",
        ["micro_batch_size"] = "2",
        ["sequence_length"] = "64",
    });

    private static readonly Lazy<Model> Training = new(() =>
        MemoryLevers.Apply(Config, GraphRewriter.Rewrite(TrainingGraphSource.Open(Config).Training(), RewritePasses.Of(Config)).Model));

    [Fact]
    public void Memory_of_parameters_gradients_and_moments_falls_as_the_number_of_ranks()
    {
        var alone = Held(1);
        foreach (var ranks in new[] { 2, 4, 8, 64 })
            Assert.InRange(Held(ranks) * ranks / alone, 1, ranks == 64 ? 1.1 : 1.02); // rows do not divide evenly, and blocks have a least size

        static double Held(int ranks) => RankPlan.Of(Config, Training.Value, ranks, 1).Memory.Held
            .Where(p => p.Name is "parameters" or "gradients" or "moments").Sum(p => (double)p.SizeBytes);
    }

    /// <summary>What is held of a frozen base falls so too, and what a step sends of it is its codes.</summary>
    [Fact]
    public void The_codes_of_a_base_are_split()
    {
        var config = Config with { AdapterKind = AdapterKind.Lora, MicroBatchSize = 2 };
        var rewritten = GraphRewriter.Rewrite(TrainingGraphSource.Open(config).Training(), RewritePasses.Of(config)).Model;
        FrozenBase.Split(rewritten);
        var training = MemoryLevers.Apply(config, rewritten);
        var (alone, four) = (RankPlan.Of(config with { Shard = ShardMode.None }, training, 4, 1), RankPlan.Of(config with { Shard = ShardMode.Full }, training, 4, 1));
        Assert.InRange(Held(four) * 4 / Held(alone), 1, 1.1);
        Assert.DoesNotContain(alone.Traffic.Parts, p => p.Collective == nameof(AllGatherStart));
        Assert.All(four.Traffic.Parts.Where(p => p.Collective == nameof(AllGatherStart)), p => Assert.Equal("uint8", p.Type)); // held as bytes

        static double Held(RankPlan plan) => plan.Memory.Held.Single(p => p.Name == "codes of frozen weights").SizeBytes;
    }

    /// <summary>Of 6 bytes a parameter, two gathers and a sum in bfloat16, over weights that are rotated and rounded.</summary>
    [Theory]
    [InlineData(SentGradients.Whole, 0.67)]
    [InlineData(SentGradients.Int8, 0.52)]
    public void Rotated_weights_send_fewer_bytes_than_bfloat16(SentGradients gradients, double share)
    {
        var plan = new ShardPlan(ShardMode.Full, 4, 0, 4) { Gradients = gradients };
        var graphs = RankGraphs.Of(plan, Training.Value, null, OptimizerSettings.Of(Config), GraphDevice.Cuda, accumulates: false);
        var starts = graphs.Training.Graph.Nodes.Where(n => HaloOperators.Of(n) is CollectiveOperator).ToList();
        var sent = starts.Where(n => n.OpType == nameof(AllGatherStart) ? n.Inputs[0]!.Type.Bits() == 8
            : n.Name.StartsWith("grad.", StringComparison.Ordinal) && IsLinear(n.Name)).Sum(CollectiveBytes.SentBy);
        var trained = TrainingInterface.Of(Training.Value.Graph, "graph", GraphDevice.Cuda).Trained;
        var weights = trained.Where(p => IsLinear(p.Name)).Sum(p => p.Shape.ElementCount!.Value);
        Assert.InRange(sent / (6.0 * weights * 3 / 4), share - 0.05, share); // each rank sends three of four parts, or its own to three
    }

    /// <summary>What only a plan of several ranks, or only one of a single rank, looks at is not passed over in the other.</summary>
    [Theory]
    [InlineData("--nodes: expected --ranks with it, found one rank", "--nodes", "2")]
    [InlineData("--link: expected --ranks with it, found one rank", "--link", "450GB/s")]
    [InlineData("--rate: expected --ranks with it, found one rank", "--rate", "400")]
    [InlineData("fit: expected none with --ranks", "--ranks", "2", "--fit", "auto", "--memory", "1GiB")]
    [InlineData("offload: expected none, where several ranks share a run", "--ranks", "2", "--device", "cuda", "--offload", "moments")]
    [InlineData("shard: expected full, hybrid or none with optimizer_in_backward", "--ranks", "2", "--optimizer-in-backward", "true", "--shard", "state")]
    [InlineData("shard_lookups: expected auto or table with gradients in 8 bits", "--ranks", "2", "--shard", "none", "--shard-lookups", "rows")]
    [InlineData("shard: expected full, hybrid or none where an adapter is trained", "--ranks", "2", "--adapter-kind", "lora", "--shard", "state")]
    [InlineData("expected 8-bit codes that are held of frozen weights, found none", "--ranks", "2", "--adapter-kind", "lora")]
    public void What_a_plan_does_not_look_at_is_refused(string expected, params string[] options)
    {
        var (exitCode, _, error) = HaloConsole.Run(["plan", "--model", LlamaTiny.Folder, "--micro-batch-size", "1", "--sequence-length", "16", .. options]);
        Assert.Equal(2, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    private static bool IsLinear(string name) => name.Contains("proj", StringComparison.Ordinal);

    [Theory]
    [InlineData("450GB/s", 450e9, 450e9, 20e-6)]
    [InlineData("1.6TB/s,50GB/s,5us", 1.6e12, 50e9, 5e-6)]
    public void A_link_is_read(string text, double node, double peers, double latency) =>
        Assert.Equal(new LinkSpeed(node, peers, latency), LinkSpeed.Parse(text));

    [Fact]
    public void The_verb_prints_what_is_held_and_sent()
    {
        var text = HaloConsole.Succeed("plan", "--model", LlamaTiny.Folder, "--micro-batch-size", "2", "--sequence-length", "64",
            "--ranks", "8", "--nodes", "2", "--shard", "hybrid", "--link", "450GB/s,50GB/s", "--rate", "400");
        Assert.Contains("8 ranks on 2 machines, shard hybrid, 1 micro-batch each an update; rank 0:", text, StringComparison.Ordinal);
        Assert.Contains("AllGatherStart over node, float", text, StringComparison.Ordinal);
        Assert.Contains("AllReduceStart over peers, float", text, StringComparison.Ordinal);
        Assert.Contains("ms an update where one hides the other", text, StringComparison.Ordinal);
    }
}
