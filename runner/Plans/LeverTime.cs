using Halo.Runner.Memory;
using Halo.Runner.Training;

namespace Halo.Runner.Plans;

/// <summary>How long an update takes, roughly: what levers that keep the bits are compared by.</summary>
/// <remarks>
/// Products at a stated rate, more for what is computed again, and the bus for states on the host. The figures are those of an H200 in
/// <c>tests/Benchmarks/README.md</c>; between one GPU and another they differ together, and what is compared is one with the other.
/// Residuals count what they take of the bus beyond the time in which layers compute; that all else of their copies is hidden was not measured.
/// </remarks>
internal static class LeverTime
{
    /// <summary>Operations a second in the products of a whole update in 8 bits: a 1B model, 32 x 512 tokens.</summary>
    private const double Rate = 7e14;

    /// <summary>Bytes a second over the bus, each way at once: moments of three layers of 8B, 2.5 GiB in 59 ms.</summary>
    public const double Bus = 45e9;

    /// <summary>How often parameters on the host cross the bus for a micro-batch and its update: 1.2 GiB of them take 139 ms.</summary>
    private const double ReadsOfParameters = 5;

    /// <summary>Time of an update in which all layers are computed again so, over one in which none is, less one: three layers of 8B, 32 x 512 tokens.</summary>
    private static double Again(Recomputed recompute) => recompute switch
    {
        Recomputed.None => 0,
        Recomputed.Weights => 0.025,
        Recomputed.Elementwise => 0.13,
        Recomputed.FeedForward => 0.21,
        Recomputed.Mixed => 0.23,
        _ => 0.26,
    };

    /// <param name="config">With the levers.</param>
    /// <param name="microBatches">Of an update.</param>
    /// <param name="multiplications">Of the products of one micro-batch without levers.</param>
    /// <param name="memory">Bytes of what lies on the host, or would.</param>
    public static double Seconds(TrainConfig config, long microBatches, double multiplications, MemoryPlan memory)
    {
        var computed = 2 * multiplications / Rate;
        var residuals = config.OffloadResiduals ? Math.Max(0, (2 * memory.BytesOf(MemoryPlan.Residuals) / Bus) - computed) : 0;
        return (microBatches * ((computed * (1 + Again(config.Recompute))) + residuals)) + Moved(config.Offload, microBatches, memory);
    }

    /// <summary>Seconds of the bus for what an update reads and writes of states on the host.</summary>
    public static double Moved(Offload offload, long microBatches, MemoryPlan memory) => offload == Offload.None ? 0
        : (memory.BytesOf(MemoryPlan.Moments) + (offload == Offload.States ? microBatches * ReadsOfParameters * memory.BytesOf(MemoryPlan.Parameters) : 0)) / Bus;
}
