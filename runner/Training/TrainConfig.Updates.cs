using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Halo.Models.Optimizer;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Schedules;

namespace Halo.Training;

// What an update learns from, at which rate, and what AdamW does.
public sealed partial record TrainConfig
{
    [Description("Passes over the data; null where steps is given. With neither, one.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int? Epochs { get; init; }

    [Description("Updates in all; null where epochs is given.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int? Steps { get; init; }

    [Description("Rows per update, or at a time where nothing is trained; null: one micro-batch.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers | ConfigUse.Plan)]
    public int? BatchSize { get; init; }

    [Description("Rows per run of the graph; null: the graph's own, or the default of a graph that is built.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Answers | ConfigUse.Plan)]
    public int? MicroBatchSize { get; init; }

    [Description("Tokens at which a row is cut and to which it is padded; null: the graph's own, or the default of a graph that is built.")]
    [Range(2, int.MaxValue)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers | ConfigUse.Plan)]
    public int? SequenceLength { get; init; }

    [Description("What shares a row of the graph: none (it holds one row of data, padded), or documents (as many rows as fit, each seeing itself alone). Rows per "
        + "update, their order and the loss stay; batch_size counts rows of data, micro_batch_size those of the graph.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public RowPacking Packing { get; init; }

    [Description("Draws the order of the rows.")]
    [Range(0, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int Seed { get; init; }

    [Description("Peak learning rate.")]
    [Range(0, double.MaxValue, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train)]
    public double LearningRate { get; init; } = 2e-5;

    [Description("Form of the learning rate over the run.")]
    [UsedBy(ConfigUse.Train)]
    public ScheduleKind Schedule { get; init; } = ScheduleKind.Linear;

    [Description("Updates over which the learning rate rises; multiplies the decay.")]
    [Range(0, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int WarmupSteps { get; init; }

    [Description("Share of the peak at which the decay ends.")]
    [Range(0.0, 1.0)]
    [UsedBy(ConfigUse.Train)]
    public double MinLrRatio { get; init; }

    [Description("Share of the updates in which wsd decays.")]
    [Range(0.0, 1.0, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train)]
    public double DecayFraction { get; init; } = LearningRateSchedule.DefaultDecayFraction;

    [Description("AdamW: decay of the first moment.")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare)]
    public double Beta1 { get; init; } = 0.9;

    [Description("AdamW: decay of the second moment.")]
    [Range(0.0, 1.0, MaximumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare)]
    public double Beta2 { get; init; } = 0.999;

    [Description("AdamW: added to the root of the second moment.")]
    [Range(0, double.MaxValue, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare)]
    public double Epsilon { get; init; } = 1e-8;

    [Description("AdamW: decoupled weight decay, on every parameter but those of weight_decay_exclude.")]
    [Range(0, double.MaxValue)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Plan)]
    public double WeightDecay { get; init; }

    [Description("Parameters that weight decay leaves alone, by patterns of their names with | between, such as '*norm.weight | *.bias'; null: none.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Plan)]
    public string? WeightDecayExclude { get; init; }

    [Description("Norm to which the gradient is clipped; null: no clipping.")]
    [Range(0, double.MaxValue, MinimumIsExclusive = true)]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Plan)]
    public double? ClipNorm { get; init; }

    [Description("Update each parameter as soon as its gradient is there, so that gradients do not exist together; one micro-batch an update. "
        + "A gradient that is not finite is found behind the update: the last checkpoint stands then.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public bool OptimizerInBackward { get; init; }

    [Description("Norm that clipping goes by: step, the update's own; previous_step, that of the update before, as optimizer_in_backward needs it (the first is "
        + "not clipped).")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public ClipReference ClipBy { get; init; }

    [Description("Float type of gradients' sums over the micro-batches of an update: fp32, or bf16, half the memory, each addition rounded by chance; values change a "
        + "little. With states bf16, and batch_size of more rows than micro_batch_size.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public StatePrecision GradientSums { get; init; }

    [Description("What moments are kept in: states, the type that states says; fp8, a byte and a 128th of a scale each, rounded by chance.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Plan)]
    public MomentPrecision Moments { get; init; }

    [Description("What lies in page-locked memory of the host, read and written over the bus by the kernels that need it, same bits: none, moments, states (moments and "
        + "parameters). With device cuda; each update takes the time of both ways over the bus.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public Offload Offload { get; init; }

    [Description("Keep the residual stream of all layers but the last in page-locked memory of the host between forward and backward part, copied while layers compute, "
        + "same bits. With device cuda, and of use with recompute, which keeps little else.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public bool OffloadResiduals { get; init; }
}
