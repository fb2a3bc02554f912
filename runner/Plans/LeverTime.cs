using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Memory;
using Halo.Runner.Training;

namespace Halo.Runner.Plans;

/// <summary>How long an update takes, roughly: what levers that keep the bits are compared by.</summary>
/// <remarks>
/// Products at a stated rate, more for what is computed again, and the bus for states on the host. The figures are those of an H200 in
/// <c>tests/Benchmarks/README.md</c>; between one GPU and another they differ together, and what is compared is one with the other.
/// A copy of residuals runs beside the products between its start and its wait, in the order of the run, and counts what it takes longer than they do.
/// </remarks>
internal static class LeverTime
{
    /// <summary>Operations a second in the products of a whole update in 8 bits: a 1B model, 32 x 512 tokens.</summary>
    private const double Rate = 7e14;

    /// <summary>Bytes a second over the bus, each way at once: moments of three layers of 8B, 2.5 GiB in 59 ms.</summary>
    public const double Bus = 45e9;

    /// <summary>Bytes a second of a copy from or to page-locked memory, as a bus of 16 lanes of PCIe 5 gives them.</summary>
    public const double Copies = 50e9;

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
    /// <param name="memory">Bytes of what lies on the host, or would, and the order of the run.</param>
    /// <param name="share">Of the layers, those that are computed again.</param>
    public static double Seconds(TrainConfig config, long microBatches, double multiplications, MemoryPlan memory, double share = 1)
    {
        var computed = SecondsOf(multiplications) * (1 + (share * Again(config.Recompute)));
        return (microBatches * (computed + (config.OffloadResiduals ? Wait(memory) : 0))) + Moved(config.Offload, microBatches, memory);
    }

    /// <summary>Seconds of a micro-batch that copies of residuals take beyond the products beside them, where the plan has such.</summary>
    public static double Wait(MemoryPlan memory)
    {
        var (wait, computed, begun) = (0.0, 0.0, new Dictionary<Value, double>());
        foreach (var node in memory.Graphs[0].Run.Buffers.Order)
        {
            computed += SecondsOf(MemoryLevers.Multiplications(node));
            if (node.Is(nameof(OffloadStart), HaloDomain.Name) || node.Is(nameof(FetchStart), HaloDomain.Name))
                begun[node.Output] = computed;
            else if (node.Is(nameof(CopyWait), HaloDomain.Name) && begun.TryGetValue(node.Inputs[0]!, out var start))
                wait += Math.Max(0, ((Halo.Memory.Buffers.Bytes(node.Output) ?? 0) / Copies) - (computed - start));
        }
        return wait;
    }

    private static double SecondsOf(double multiplications) => 2 * multiplications / Rate;

    /// <summary>Seconds of the bus for what an update reads and writes of states on the host.</summary>
    public static double Moved(Offload offload, long microBatches, MemoryPlan memory) => offload == Offload.None ? 0
        : (memory.BytesOf(MemoryPlan.Moments) + (offload == Offload.States ? microBatches * ReadsOfParameters * memory.BytesOf(MemoryPlan.Parameters) : 0)) / Bus;
}
