using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Operators;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Passes.Training.Recomputation;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;

namespace Halo.Runner.Plans;

/// <summary>A way to train in less memory.</summary>
/// <param name="Config">With its settings.</param>
/// <param name="Memory">What that takes.</param>
/// <param name="Products">Multiplications of the training graph's products, over those without the lever.</param>
internal sealed record Lever(TrainConfig Config, MemoryPlan Memory, double Products)
{
    /// <summary>Why residuals are on the host or not, where <c>fit: auto</c> has weighed that; else null.</summary>
    public string? Why { get; init; }

    /// <summary>The settings as one would write them.</summary>
    public string Text => $"recompute {ConfigText(Config.Recompute)}{(Config.RecomputeLayers is { } layers ? $" in {layers} layers" : "")}"
        + (Config.SavedCodes is { } saved ? $", saved_codes {saved}" : "") + (Config.TransposedCodes is { } turned ? $", transposed_codes {turned}" : "") + (Config.OptimizerInBackward ? ", optimizer_in_backward" : "")
        + (Config.LogitsMemory is { } logits ? $", logits_memory {logits}" : "") + (Config.Moments == MomentPrecision.Fp8 ? ", moments fp8" : "")
        + (Config.GradientSums == StatePrecision.Bf16 ? ", gradient_sums bf16" : "")
        + (Config.OffloadResiduals ? ", offload_residuals" : "") + (Config.Offload == Offload.None ? "" : $", offload {Offloaded}");

    /// <summary>The settings as options of a command.</summary>
    public string Options => string.Join(' ', ((string[])[$"--recompute {ConfigText(Config.Recompute)}",
        Config.RecomputeLayers is { } layers ? $"--recompute-layers {layers}" : "", Config.SavedCodes is { } saved ? $"--saved-codes {saved}" : "",
        Config.TransposedCodes is { } turned ? $"--transposed-codes {turned}" : "",
        Config.OptimizerInBackward ? "--optimizer-in-backward true" : "", Config.LogitsMemory is { } logits ? $"--logits-memory {logits}" : "",
        Config.Moments == MomentPrecision.Fp8 ? "--moments fp8" : "", Config.GradientSums == StatePrecision.Bf16 ? "--gradient-sums bf16" : "", Config.OffloadResiduals ? "--offload-residuals true" : "",
        Config.Offload == Offload.None ? "" : $"--offload {Offloaded}"])
        .Where(o => o.Length > 0));

    private string Offloaded => Halo.Runner.Training.Config.ConfigKey.NameOf($"{Config.Offload}");

    private static string ConfigText(Recomputed recompute) => Halo.Runner.Training.Config.ConfigKey.NameOf($"{recompute}");
}

/// <summary>What makes a rewritten training graph take less memory: the order of its nodes, recomputation, and codes in place of saved tensors.</summary>
internal static class MemoryLevers
{
    /// <summary>What costs no product to compute again.</summary>
    private const string NoProducts = "norm+activation+rotary+cast+quantize+elementwise+view";

    /// <summary>Of <see cref="TrainConfig.TransposedCodes"/>: without a bound.</summary>
    internal const string All = "all";

    /// <summary>The passes of a config, behind those of its rewrite.</summary>
    public static IReadOnlyList<IGraphPass> Passes(TrainConfig config) =>
    [
        .. config.TransposedCodes is { } bytes ? (IReadOnlyList<IGraphPass>)[new HoldTransposedCodes(bytes == All ? long.MaxValue : MemorySize.Parse(bytes))] : [],
        .. config.LogitsMemory is { } logits ? (IReadOnlyList<IGraphPass>)[new FuseLoss(MemorySize.Parse(logits))] : [],
        .. config.Recompute switch
        {
            Recomputed.None when config.AdapterBase == BaseWeights.Own => (IReadOnlyList<IGraphPass>)[],
            Recomputed.None => [new Recompute(RecomputeBy.Weights)], // decoded for each product: kept, they would be the base in 16 bits
            Recomputed.Weights => [new Recompute(RecomputeBy.Weights)],
            Recomputed.Elementwise => [new Recompute(RecomputeBy.Kind, RecomputeKinds.Parse(NoProducts, null), config.RecomputeLayers, FreesWeights(config))],
            Recomputed.FeedForward => [new Recompute(RecomputeBy.FeedForward, Layers: config.RecomputeLayers, Weights: FreesWeights(config))],
            Recomputed.Mixed => [new Recompute(RecomputeBy.FeedForward, RecomputeKinds.Parse(NoProducts, null), config.RecomputeLayers, FreesWeights(config))],
            _ => [new Recompute(RecomputeBy.Layer, Layers: config.RecomputeLayers, Weights: FreesWeights(config))],
        },
        .. config.Recompute > Recomputed.Weights ? (IReadOnlyList<IGraphPass>)[new FuseRecomputed()] : [],
        .. config.SavedCodes is { } saved ? (IReadOnlyList<IGraphPass>)[new SaveCodes(SavedInputs.Parse(saved, null))] : [],
        new OrderNodes(),
    ];

    /// <summary>Codes of weights that are kept for an update are made again by no recompute.</summary>
    private static bool FreesWeights(TrainConfig config) => config.WeightCodes == WeightCodes.MicroBatch;

    /// <summary>Applies the levers of a config to its rewritten graph, and chooses them first where the config leaves that to Halo.</summary>
    /// <param name="config">The config.</param>
    /// <param name="rewritten">The graph; is changed.</param>
    /// <param name="say">Takes lines about what is chosen.</param>
    /// <returns>The config with what was chosen.</returns>
    /// <exception cref="HaloException">Nothing fits.</exception>
    public static TrainConfig Apply(TrainConfig config, RewrittenGraph rewritten, Action<string> say)
    {
        if (config.Fit == MemoryFit.Auto)
        {
            var budget = PlannedMemory.BudgetOf(config, new Device(config.Device));
            var prices = new LeverPrices(config, rewritten.Model);
            var chosen = LeverChoice.Of(prices, budget);
            say($"memory: {chosen.Text} takes {MemorySize.Text(chosen.Memory.PeakBytes)} of {MemorySize.Text(budget)}, and {chosen.Products:P0} of the products");
            if (chosen.Why is { } why)
                say($"memory: {why}");
            if (chosen.Config.Recompute > Recomputed.Weights && prices.WithCodes(budget) is { } offer)
                say($"memory: {offer.Options} would take {MemorySize.Text(offer.Memory.PeakBytes)}; it changes values a little, and is not chosen for you");
            if (chosen.Config.Recompute > Recomputed.Weights || chosen.Config.Offload != config.Offload)
                SayOfSums(chosen, prices, say);
            config = chosen.Config;
        }
        var run = PassManager.Run(rewritten.Model, Passes(config), new PassOptions());
        if (run.Passes.Any(p => p is { Pass: SaveCodes, Rewrites: 0 }))
        {
            throw new HaloException("memory", $"saved_codes {config.SavedCodes}", "gradients of com.halo that read what the forward part computed",
                config.Recompute == Recomputed.None ? "none" : "none that recompute leaves",
                config.Recompute == Recomputed.None ? "Set rederive: true for a gradient of them, or leave saved_codes out." : "Leave one of the two out.");
        }
        if (run.Passes.Any(p => p is { Pass: HoldTransposedCodes, Rewrites: 0 }))
        {
            throw new HaloException("memory", $"transposed_codes {config.TransposedCodes}", "codes of frozen weights that are held, one of which fits", "none",
                "Train an adapter over a base in 8 bits (adapter_base own, a format), give more memory, or leave transposed_codes out.");
        }
        Ledger.Append(rewritten.Model, run, rewritten.InputSha256);
        return config;
    }

    /// <summary>Names sums in bfloat16, which change values, where a choice costs time.</summary>
    private static void SayOfSums(Lever chosen, LeverPrices prices, Action<string> say)
    {
        if (prices.WithSums(chosen.Config) is { } halved)
            say($"memory: with --gradient-sums bf16 that would be {MemorySize.Text(halved.Memory.PeakBytes)}; it changes values a little, and is not chosen for you");
    }

    /// <summary>The rewritten graph, which stays as it is, with the levers of a config.</summary>
    public static Model Apply(TrainConfig config, Model rewritten)
    {
        var model = rewritten.Clone();
        PassManager.Run(model, Passes(config), new PassOptions());
        return model;
    }

    /// <summary>What an offer changes, and what it costs that no product shows.</summary>
    public static string Change(Lever offer, TrainConfig config, Model rewritten) => string.Join("; ", ((string[])[
        offer.Config.SavedCodes != config.SavedCodes || offer.Config.Moments != config.Moments || offer.Config.GradientSums != config.GradientSums ? "values change a little"
            : offer.Config.LogitsMemory != config.LogitsMemory ? "sums in another order" : "the same values",
        offer.Config.Offload != config.Offload ? $"about {Moved(offer, rewritten) * 1e3:F0} ms of an update for the bus at {LeverTime.Bus / 1e9:F0} GB/s each way" : "",
        offer.Config.OffloadResiduals != config.OffloadResiduals
            ? $"{MemorySize.Text(offer.Memory.BytesOf(MemoryPlan.Residuals))} over the bus and back a micro-batch, while layers compute" : "",
        offer.Config.OptimizerInBackward != config.OptimizerInBackward ? "a gradient that is not finite is found behind its update" : ""]).Where(s => s.Length > 0));

    private static double Moved(Lever offer, Model rewritten) =>
        LeverTime.Moved(offer.Config.Offload, LeverChoice.MicroBatches(offer.Config, rewritten), offer.Memory);

    /// <summary>What a config takes: its passes over a copy of the graph, and the plan of that.</summary>
    public static Lever Try(TrainConfig config, Model rewritten)
    {
        var model = rewritten.Clone();
        PassManager.Run(model, Passes(config), new PassOptions());
        return new Lever(config, PlannedMemory.Of(config, model), Multiplications(model.Graph) / Multiplications(rewritten.Graph));
    }

    /// <summary>Of a graph's products.</summary>
    public static double Multiplications(Graph graph) => graph.Nodes.Sum(Multiplications);

    /// <summary>Of a node, 0 where it is no product.</summary>
    internal static double Multiplications(Node node)
    {
        if (node.Facts.Role is not OperatorRole.Product product)
            return 0;
        var k = node.Inputs[product.A]!.Shape is { Rank: >= 2 } shape ? shape[node.Int("transA", 0) != 0 ? -2 : -1].Size ?? 0 : 0;
        return (double)k * (node.Output.Shape?.ElementCount ?? 0);
    }
}
