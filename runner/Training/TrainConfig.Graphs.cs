using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Halo.Passes.Canonical.Precision;
using Halo.Runner.Training.Config;

namespace Halo.Training;

// What the graphs compute, in which types, and what of it they keep.
public sealed partial record TrainConfig
{
    [Description("HALO level (none, halo-0, halo-1, halo-2) or text per GEMM, such as F=K;E=N+M;G=N.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public string Scheme { get; init; } = "none";

    [Description("Format (none, fp8, int8, fp6) or text per GEMM, such as F=e4m3,e4m3;E=e5m2,e4m3;G=e5m2,e4m3.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public string Format { get; init; } = "none";

    [Description("Build the gradient of an exported training graph anew, from fused operators: the same values, sooner.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public bool Rederive { get; init; }

    [Description("Float type that the graph computes in (fp32, bf16, fp16); parameters and gradients stay float32 unless states says otherwise. 16 bits need a GPU.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public FloatPrecision Precision { get; init; }

    [Description("Float type of parameters, gradients and moments: fp32, or bf16, half the memory, updates rounded by chance; bf16 goes with precision bf16.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public StatePrecision States { get; init; }

    [Description("Scheme and format per layer; the first rule that matches wins.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public IReadOnlyList<QuantizeRule> Quantize { get; init; } = [];

    [Description("Pass pipeline as text; null: the pipeline that scheme and format call for.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? Pipeline { get; init; }

    [Description("What the backward part computes again in place of keeping it, with the same bits: none; weights (in other types, orders or codes); elementwise "
        + "(these, norms, activations, rotations, codes: no product); feed_forward (weights, and what stands behind attention); mixed (elementwise in all layers, "
        + "and what stands behind attention in recompute_layers of them); layer (weights, and whole layers).")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public Recomputed Recompute { get; init; }

    [Description("Layers, from the first, of which activations are computed again; null: all.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public int? RecomputeLayers { get; init; }

    [Description("How often the 8-bit codes of weights that are trained are made, with the same bits: micro_batch, in each and freed behind it; update, once for all "
        + "micro-batches of an update, which keeps one or two bytes a weight in memory. A recompute leaves codes that are kept alone.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public WeightCodes WeightCodes { get; init; }

    [Description("What gradients read of the forward part as 8-bit codes in place of 16 or 32 bits: all, or some of swiglu+norms+attention; null: nothing. "
        + "Values change a little.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? SavedCodes { get; init; }

    [Description("With an adapter over a base in 8 bits: memory for the codes of frozen weights once more, transposed as the backward part reads them, such as "
        + "4GiB, for as many weights as fit; or all; null: each product transposes them. The same bits; a GPU is faster by it, a CPU is not.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? TransposedCodes { get; init; }

    [Description("On a GPU: memory that the logits of a chunk of rows may take, such as 256MiB; null: 2GiB, of a head that is frozen 256MiB. Smaller chunks are more "
        + "products, and more sums of the head's gradient.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? LogitsMemory { get; init; }

    [Description("Memory that training may take, such as 80GiB or 24GB; null: what the device has.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public string? Memory { get; init; }

    [Description("off: recompute as it is set; auto: what fits into the memory and costs the least time with the same bits, of recompute and, on a GPU, moments and parameters on the host.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public MemoryFit Fit { get; init; }
}
