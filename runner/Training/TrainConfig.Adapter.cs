using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Halo.Passes.Training;
using Halo.Runner.Training.Config;

namespace Halo.Training;

// What is trained beside a base that stays as it is, or of the model itself some rows at a time.
public sealed partial record TrainConfig
{
    [Description("Folder of an adapter (PEFT) to go on from while the model stays as it is, or to evaluate with; one with adapter_config.json alone is begun "
        + "anew. In the file also a mapping {kind, rank, alpha, targets, dropout, rslora, base, density, warmup, rows, every}, which are the keys below.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Answers | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? Adapter { get; init; }

    [Description("Train an adapter and leave the model as it is: none, lora, dora, or rosa (lora and some elements of each weight); or "
        + "efqat: the model itself, some rows of each linear weight at a time.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public AdapterKind AdapterKind { get; init; }

    [Description("Rank of the adapter.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public int AdapterRank { get; init; } = 16;

    [Description("The adapter's product is multiplied by this over the rank, or over its root with adapter_rslora; null: twice the rank.")]
    [Range(0, double.MaxValue, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public double? AdapterAlpha { get; init; }

    [Description("Linear layers that get an adapter: all-linear, or ends of names, such as q_proj,v_proj.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public string AdapterTargets { get; init; } = "all-linear";

    [Description("Share of the adapter's inputs that training drops.")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public double AdapterDropout { get; init; }

    [Description("Divide alpha by the root of the rank (rsLoRA).")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public bool AdapterRslora { get; init; }

    [Description("What the frozen linear weights under an adapter are held as: own (their codes of the format, else their own type), or int4 (blocks of 32, decoded "
        + "for each product): 0.6 bytes a weight.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public BaseWeights AdapterBase { get; init; }

    [Description("With adapter_kind rosa: the share of each weight's elements that is trained beside the factors, those of the largest gradients.")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public double AdapterDensity { get; init; } = 0.01;

    [Description("With adapter_kind rosa: updates of LoRA alone, with a schedule of their own, after which the elements are chosen and training begins anew.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int AdapterWarmup { get; init; } = 64;

    [Description("With adapter_kind efqat: the share of each linear weight's rows that is trained, those of the largest mean magnitude.")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Artifact | ConfigUse.Plan)]
    public double AdapterRows { get; init; } = 0.1;

    [Description("With adapter_kind efqat: updates after which the rows are chosen anew.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int AdapterEvery { get; init; } = 50;
}
