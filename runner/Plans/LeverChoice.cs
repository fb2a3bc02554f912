using System.Globalization;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Training;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Plans;

/// <summary>What <c>fit: auto</c> takes: of the levers that keep the bits the fastest combination that fits, by <see cref="LeverTime"/>.</summary>
/// <remarks>
/// What a config sets of them it keeps: to what is on the host more may come, and what is to stay there stays. Residuals go there only where the config has it so:
/// their copies beside the layers were not timed on a GPU.
/// </remarks>
internal sealed class LeverChoice
{
    /// <summary>Bytes beside second copies: each is rounded up to what the allocator gives.</summary>
    private const long Margin = 1 << 20;

    private readonly LeverPrices _prices;
    private readonly long _microBatches;
    private readonly double _multiplications;

    private LeverChoice(LeverPrices prices) => (_prices, _microBatches, _multiplications) =
        (prices, MicroBatches(prices.Config, prices.Rewritten), MemoryLevers.Multiplications(prices.Rewritten.Graph));

    /// <summary>The fastest combination that fits.</summary>
    /// <param name="prices">Of the config and its graph.</param>
    /// <param name="budget">Bytes that there are.</param>
    /// <exception cref="HaloException">None fits.</exception>
    public static Lever Of(LeverPrices prices, long budget)
    {
        var choice = new LeverChoice(prices);
        var all = choice.Combinations().OrderBy(choice.Seconds).ToList(); // stable: of those that cost the same, the first
        foreach (var lever in all.Select(prices.Of).Where(lever => lever.Memory.PeakBytes <= budget))
            return choice.WithTransposedCodes(lever.Config.Recompute > Recomputed.Weights ? choice.FewestLayers(lever, budget) : lever, budget);
        var least = all.Select(prices.Of).MinBy(lever => lever.Memory.PeakBytes)!;
        throw new HaloException("memory", "fit", $"levers that fit into {MemorySize.Text(budget)}",
            $"{least.Text} as the least, which takes {MemorySize.Text(least.Memory.PeakBytes)}, {MemorySize.Text(least.Memory.HeldBytes)} of it held for the whole run",
            prices.WithCodes(budget) is { } offer
                ? $"{offer.Options} would take {MemorySize.Text(offer.Memory.PeakBytes)} and changes values a little; or take a smaller --micro-batch-size or "
                    + "--sequence-length."
                : "Take a smaller --micro-batch-size or --sequence-length.");
    }

    /// <summary>Micro-batches of an update.</summary>
    public static long MicroBatches(TrainConfig config, Model training)
    {
        var rows = TrainingInterface.Of(training.Graph, config.Model, config.Device).Rows;
        return Math.Max(1, ((config.BatchSize ?? rows) + rows - 1) / rows);
    }

    private IEnumerable<TrainConfig> Combinations()
    {
        var config = _prices.Config;
        var onGpu = config.Device == GraphDevice.Cuda;
        return from offload in Enum.GetValues<Offload>()
               where offload >= config.Offload && (onGpu || offload == Offload.None)
               from recompute in LeverPrices.CheapestFirst
               select config with { Recompute = recompute, RecomputeLayers = null, Offload = offload };
    }

    /// <summary>Bytes on the host are about those of any recompute: few plans are made for the order in which others are tried.</summary>
    private double Seconds(TrainConfig config) =>
        LeverTime.Seconds(config, _microBatches, _multiplications, _prices.Of(config with { Recompute = Recomputed.None }).Memory);

    /// <summary>What is left of the budget goes to second copies of frozen weights' codes: no product, and a byte a weight and step less to read and write.</summary>
    private Lever WithTransposedCodes(Lever lever, long budget)
    {
        var codes = _prices.Rewritten.Graph.Inputs.Where(i => FrozenBase.IsHeld(i) && i.Type.Bits() == 8 && i.Shape is { Rank: 2 })
            .Sum(i => RunMemory.Rounded(i.Shape!.ElementCount ?? 0));
        var left = budget - lever.Memory.PeakBytes - Margin;
        if (lever.Config is not { Device: GraphDevice.Cuda, AdapterBase: BaseWeights.Own, TransposedCodes: null } || codes == 0 || left <= 0)
            return lever;
        var text = left >= codes ? MemoryLevers.All : string.Create(CultureInfo.InvariantCulture, $"{left >> 10}KiB");
        var with = _prices.Of(lever.Config with { TransposedCodes = text });
        return with.Memory.HeldBytes > lever.Memory.HeldBytes && with.Memory.PeakBytes <= budget ? with : lever;
    }

    /// <summary>A lever in as few layers as fit.</summary>
    private Lever FewestLayers(Lever all, long budget)
    {
        var (best, few, many) = (all, 0, Recompute.LayersOf(_prices.Rewritten)); // few do not fit, many do
        while (many - few > 1)
        {
            var layers = (few + many) / 2;
            var lever = _prices.Of(all.Config with { RecomputeLayers = layers });
            if (lever.Memory.PeakBytes <= budget)
                (best, many) = (lever, layers);
            else
                few = layers;
        }
        return best;
    }
}
