using System.Collections.Concurrent;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>What levers take of one rewritten graph. What two of them have in common, all passes and settings but where tensors lie, is planned once.</summary>
/// <param name="config">All other settings.</param>
/// <param name="rewritten">The graph without levers; stays as it is.</param>
internal sealed class LeverPrices(TrainConfig config, Model rewritten)
{
    private const string AllCodes = "all", SmallLogits = "256MiB";

    /// <summary>Where codes of weights are kept for an update, none that makes nothing but these again.</summary>
    internal static IEnumerable<Recomputed> For(TrainConfig config) => CheapestFirst.Where(what => what != Recomputed.Weights || config.WeightCodes == WeightCodes.MicroBatch);

    internal static readonly Recomputed[] CheapestFirst = [Recomputed.None, Recomputed.Weights, Recomputed.Elementwise, Recomputed.FeedForward, Recomputed.Layer];

    private readonly ConcurrentDictionary<(string Passes, TrainConfig Other), Lazy<Lever>> _prices = [];

    internal TrainConfig Config => config;

    internal Model Rewritten => rewritten;

    /// <summary>What each lever takes, the cheapest first, planned as it is asked for.</summary>
    public IEnumerable<Lever> All => Candidates.Select(Of);

    /// <summary>Besides recompute: what is on the host, and what changes more than time, updates in the backward part, codes in place of what gradients read.</summary>
    public IEnumerable<Lever> Offers => Offered.Select(Of);

    private IEnumerable<TrainConfig> Candidates => For(config).Select(what => config with { Recompute = what, RecomputeLayers = null });

    private IEnumerable<TrainConfig> Offered
    {
        get
        {
            var withUpdates = config with { OptimizerInBackward = true };
            var @interface = TrainingInterface.Of(rewritten.Graph, config.Model, config.Device);
            var mayUpdate = !config.OptimizerInBackward && config.ClipNorm is null && config.WeightCodes == WeightCodes.MicroBatch
                && (config.BatchSize is not { } rows || rows <= @interface.Rows);
            if (mayUpdate)
                yield return withUpdates;
            if (config.Moments == MomentPrecision.States)
                yield return config with { Moments = MomentPrecision.Fp8 };
            if (GradientSums.MayBeHalved(config, @interface))
                yield return config with { GradientSums = StatePrecision.Bf16 };
            if (config is { OffloadResiduals: false, Device: GraphDevice.Cuda })
                yield return config with { OffloadResiduals = true };
            if (config is { Offload: Offload.None, Device: GraphDevice.Cuda })
                yield return config with { Offload = Offload.Moments };
            if (config is { Offload: not Offload.States, Device: GraphDevice.Cuda })
                yield return config with { Offload = Offload.States };
            var mayChunk = config.LogitsMemory is null && rewritten.Graph.Nodes.Any(n => n.OpType == nameof(LinearCrossEntropy));
            if (mayChunk)
                yield return config with { LogitsMemory = SmallLogits };
            foreach (var coded in Coded)
                yield return coded;
            if (mayUpdate && config.SavedCodes is null)
            {
                var logits = mayChunk ? SmallLogits : config.LogitsMemory;
                yield return withUpdates with { SavedCodes = AllCodes, Recompute = Recomputed.Weights, LogitsMemory = logits };
            }
        }
    }

    private IEnumerable<TrainConfig> Coded => config.SavedCodes is not null ? []
        : new[] { Recomputed.None, Recomputed.Weights, Recomputed.FeedForward }.Intersect(For(config))
            .Select(what => config with { SavedCodes = AllCodes, Recompute = what, RecomputeLayers = null });

    /// <summary>Plans <see cref="All"/> and <see cref="Offers"/>, on as many cores as there are.</summary>
    public void Prepare()
    {
        TrainConfig[] distinct = [.. Candidates.Concat(Offered).DistinctBy(KeyOf)]; // else one core waits for what another plans
        Parallel.ForEach(Partitioner.Create(distinct, EnumerablePartitionerOptions.NoBuffering), lever =>
        {
            try
            {
                _ = Of(lever);
            }
            catch (HaloException)
            {
                // is kept, and thrown to whoever asks for this lever
            }
        });
    }

    /// <summary>What a config takes; as <see cref="MemoryLevers.Try"/> has it, made once.</summary>
    public Lever Of(TrainConfig lever)
    {
        var price = _prices.GetOrAdd(KeyOf(lever), _ => new Lazy<Lever>(() => MemoryLevers.Try(lever with { Offload = Offload.None }, rewritten))).Value;
        return price with { Config = lever, Memory = price.Memory.With(lever.Offload) };
    }

    /// <summary>Passes, and settings that no pass stands for and that move no tensor to the host.</summary>
    private static (string Passes, TrainConfig Other) KeyOf(TrainConfig lever) => (PipelineParser.ToText(MemoryLevers.Passes(lever)),
        lever with { Offload = Offload.None, Recompute = default, RecomputeLayers = null, SavedCodes = null, LogitsMemory = null, TransposedCodes = null });

    /// <summary>A config with its sums of gradients in bfloat16; null where it has none, or has them so.</summary>
    public Lever? WithSums(TrainConfig lever) => GradientSums.MayBeHalved(lever, TrainingInterface.Of(rewritten.Graph, config.Model, config.Device))
        ? Of(lever with { GradientSums = StatePrecision.Bf16 }) : null;

    /// <summary>The cheapest lever with codes that fits; null where none does, or the config has them.</summary>
    /// <param name="budget">Bytes.</param>
    public Lever? WithCodes(long budget) => Coded.Select(Of).FirstOrDefault(l => l.Memory.PeakBytes <= budget);
}
