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
/// What a config sets of them it keeps: to what is on the host more may come, and what is to stay there stays. Residuals go there last: where nothing fits
/// without, or where that saves more than <see cref="Margin"/> of an update, as fewer layers are computed again.
/// </remarks>
internal sealed class LeverChoice
{
    /// <summary>Of an update's time: what figures of one GPU may be off by on another.</summary>
    public const double Margin = 0.01;

    /// <summary>Bytes beside second copies: each is rounded up to what the allocator gives.</summary>
    private const long CopiesMargin = 1 << 20;

    private readonly LeverPrices _prices;
    private readonly long _microBatches;
    private readonly double _multiplications;
    private readonly int _layers;

    private LeverChoice(LeverPrices prices)
    {
        (_prices, _microBatches, _multiplications) =
            (prices, MicroBatches(prices.Config, prices.Rewritten), MemoryLevers.Multiplications(prices.Rewritten.Graph));
        _layers = Recompute.LayersOf(prices.Rewritten);
    }

    /// <summary>The fastest combination that fits.</summary>
    /// <param name="prices">Of the config and its graph.</param>
    /// <param name="budget">Bytes that there are.</param>
    /// <exception cref="HaloException">None fits.</exception>
    public static Lever Of(LeverPrices prices, long budget)
    {
        var choice = new LeverChoice(prices);
        return choice.WithTransposedCodes(choice.Chosen(budget), budget);
    }

    private Lever Chosen(long budget)
    {
        var config = _prices.Config;
        var asSet = Fastest(config.OffloadResiduals, budget);
        var mayOffload = config is { Device: GraphDevice.Cuda, OffloadResiduals: false } && _layers > 1;
        if (!mayOffload || asSet?.Config is { Recompute: Recomputed.None } && asSet.Config.Offload == config.Offload)
            return asSet ?? throw NothingFits([config.OffloadResiduals], budget);
        if (Fastest(residuals: true, budget) is not { } offloaded)
            return asSet ?? throw NothingFits([false, true], budget);
        var wait = $"{MemorySize.Text(offloaded.Memory.BytesOf(MemoryPlan.Residuals))} of them a micro-batch go and come while layers compute, "
            + $"{_microBatches * LeverTime.Wait(offloaded.Memory) * 1e3:F0} ms of an update more than that takes";
        if (asSet is null)
            return offloaded with { Why = $"residuals are on the host as nothing fits without; {wait}" };
        var (without, with) = (Seconds(asSet.Config), Seconds(offloaded.Config));
        return with < (1 - Margin) * without
            ? offloaded with { Why = $"residuals are on the host: an update takes {1 - (with / without):P1} less than with {asSet.Text}, by the estimate; {wait}" }
            : asSet with { Why = $"residuals stay on the GPU: on the host, with {offloaded.Text}, an update would take {with / without:P1} of the time, by the estimate; {wait}" };
    }

    /// <summary>The fastest that fits with residuals in one place; null where none does.</summary>
    private Lever? Fastest(bool residuals, long budget)
    {
        foreach (var lever in Ordered(residuals).Select(_prices.Of).Where(lever => lever.Memory.PeakBytes <= budget))
            return lever.Config.Recompute > Recomputed.Weights ? FewestLayers(lever, budget) : lever;
        return null;
    }

    private HaloException NothingFits(IEnumerable<bool> residuals, long budget)
    {
        var least = residuals.SelectMany(Ordered).Select(_prices.Of).MinBy(lever => lever.Memory.PeakBytes)!;
        return new HaloException("memory", "fit", $"levers that fit into {MemorySize.Text(budget)}",
            $"{least.Text} as the least, which takes {MemorySize.Text(least.Memory.PeakBytes)}, {MemorySize.Text(least.Memory.HeldBytes)} of it held for the whole run",
            _prices.WithCodes(budget) is { } offer
                ? $"{offer.Options} would take {MemorySize.Text(offer.Memory.PeakBytes)} and changes values a little; or take a smaller --micro-batch-size or "
                    + "--sequence-length."
                : _prices.WithSums(least.Config) is { } halved && halved.Memory.PeakBytes <= budget
                ? $"{halved.Options} would take {MemorySize.Text(halved.Memory.PeakBytes)} and changes values a little; or take a smaller --micro-batch-size."
                : "Take a smaller --micro-batch-size or --sequence-length.");
    }

    /// <summary>Micro-batches of an update.</summary>
    public static long MicroBatches(TrainConfig config, Model training)
    {
        var rows = TrainingInterface.Of(training.Graph, config.Model, config.Device).Rows;
        return Math.Max(1, ((config.BatchSize ?? rows) + rows - 1) / rows);
    }

    /// <summary>Combinations, the fastest first; of those that cost the same, the first stays so.</summary>
    private IOrderedEnumerable<TrainConfig> Ordered(bool residuals)
    {
        var config = _prices.Config;
        var onGpu = config.Device == GraphDevice.Cuda;
        var all = from offload in Enum.GetValues<Offload>()
                  where offload >= config.Offload && (onGpu || offload == Offload.None)
                  from recompute in LeverPrices.For(config)
                  select config with { Recompute = recompute, RecomputeLayers = null, Offload = offload, OffloadResiduals = residuals };
        return all.OrderBy(Seconds);
    }

    /// <summary>Bytes on the host are about those of any recompute: few plans are made for the order in which others are tried.</summary>
    private double Seconds(TrainConfig config) => LeverTime.Seconds(config, _microBatches, _multiplications,
        _prices.Of(config with { Recompute = Recomputed.None, RecomputeLayers = null }).Memory, (double)(config.RecomputeLayers ?? _layers) / Math.Max(1, _layers));

    /// <summary>What is left of the budget goes to second copies of frozen weights' codes: no product, and a byte a weight and step less to read and write.</summary>
    private Lever WithTransposedCodes(Lever lever, long budget)
    {
        var codes = _prices.Rewritten.Graph.Inputs.Where(i => FrozenBase.IsHeld(i) && i.Type.Bits() == 8 && i.Shape is { Rank: 2 })
            .Sum(i => RunMemory.Rounded(i.Shape!.ElementCount ?? 0));
        var left = budget - lever.Memory.PeakBytes - CopiesMargin;
        if (lever.Config is not { Device: GraphDevice.Cuda, AdapterBase: BaseWeights.Own, TransposedCodes: null } || codes == 0 || left <= 0)
            return lever;
        var text = left >= codes ? MemoryLevers.All : string.Create(CultureInfo.InvariantCulture, $"{left >> 10}KiB");
        var with = _prices.Of(lever.Config with { TransposedCodes = text });
        return with.Memory.HeldBytes > lever.Memory.HeldBytes && with.Memory.PeakBytes <= budget ? with with { Why = lever.Why } : lever;
    }

    /// <summary>A lever in as few layers as fit.</summary>
    private Lever FewestLayers(Lever all, long budget)
    {
        var (best, few, many) = (all, 0, _layers); // few do not fit, many do
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
