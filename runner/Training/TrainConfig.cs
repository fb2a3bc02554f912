using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Halo.CustomOps;
using Halo.Models.Optimizer;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Sharding;
using Halo.Passes.Training;
using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Schedules;

namespace Halo.Training;

/// <summary>Everything that <c>halo train</c> can set. A property is a YAML key (snake_case), an option (kebab-case) and a schema entry.</summary>
/// <remarks>Adding a setting is adding a property: reader, writer, schema, range checks and the options of verbs go by the properties and their attributes.</remarks>
public sealed record TrainConfig
{
    [Description("Hugging Face folder, forward graph, training graph or artifact folder.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers | ConfigUse.Plan)]
    public required string Model { get; init; }

    [Description("Safetensors with the starting weights; null: those that come with the model.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? Weights { get; init; }

    [Description("Folder of tokenizer.json; null: the model's folder.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact)]
    public string? Tokenizer { get; init; }

    [Description("Data to train on, or to evaluate where nothing is trained: JSONL, JSON, Parquet or text, also .gz and .zst; patterns, and several with commas "
        + "between; behind a file @2 takes its rows twice an epoch, @0.5 half of them.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers)]
    public string? Data { get; init; }

    [Description("Form of the rows: auto (what the fields of a file's first row say), messages, sharegpt, alpaca, completion or text.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers)]
    public DataFormat DataFormat { get; init; }

    [Description("Folder where tokenized data are kept and found again; null: data-cache in the run's folder for data files above 32 MiB, and nowhere for others.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder)]
    public string? DataCache { get; init; }

    [Description("Tokens of a conversation that are learned: answers (the assistant's, or the completion), or all. Of text all are in any case.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder)]
    public LearnedTokens Learn { get; init; }

    [Description("Data to evaluate on; null: no evaluation.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public string? Valid { get; init; }

    [Description("Folder of the run: checkpoints, metrics, report.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare)]
    public string? Output { get; init; }

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

    [Description("Updates between evaluations; 0: only before and after the run.")]
    [Range(0, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int EvalEvery { get; init; }

    [Description("Evaluations without a lower validation loss after which the run ends; null: it goes on to its last step. With eval_every.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int? Patience { get; init; }

    [Description("What model/, eval, export and generate take of the run: newest (the last checkpoint), or best (the one of the least validation loss, saved when it is found).")]
    [UsedBy(ConfigUse.Train)]
    public TakenModel Take { get; init; }

    [Description("Updates between checkpoints; 0: only after the run.")]
    [Range(0, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int SaveEvery { get; init; }

    [Description("Checkpoints kept, the newest.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int KeepCheckpoints { get; init; } = 2;

    [Description("Updates between printed lines.")]
    [Range(1, int.MaxValue)]
    [UsedBy(ConfigUse.Train)]
    public int LogEvery { get; init; } = 1;

    [Description("What is split over the ranks of a run that a launcher (mpirun, torchrun, srun) starts: full (parameters, gradients and moments), state (gradients "
        + "and moments), none (nothing), hybrid (as full, over the ranks of each machine). One rank splits nothing.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public ShardMode Shard { get; init; } = ShardMode.Full;

    [Description("What gradients are sent to other ranks as: whole (in their own type), int8 or fp8 (rotated, in 8 bits with a scale for each 64 elements).")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public SentGradients ShardGradients { get; init; }

    [Description("Whether what rounding leaves of gradients that are sent in 8 bits is kept and added to the next ones (error feedback): float32, as large as all "
        + "gradients of matrices, on each rank, and in checkpoints, which then go on with as many ranks.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public bool ShardGradientsFeedback { get; init; }

    [Description("What carries tensors of a GPU between ranks: nccl, copies (into each other's memory, between GPUs of one machine that reach it: kernels keep "
        + "all multiprocessors), or host (through memory of the host, by MPI or TCP: slower). Ranks may share a GPU, but not by nccl.")]
    [UsedBy(ConfigUse.Train)]
    public RankCarrier RankCarrier { get; init; }

    [Description("Seconds that a rank waits for another one from which nothing comes, before all end.")]
    [Range(1, 86_400)]
    [UsedBy(ConfigUse.Train)]
    public int RankTimeout { get; init; } = (int)Communicator.DefaultTimeoutSeconds;

    [Description("Where the graphs run.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers | ConfigUse.Plan)]
    public GraphDevice Device { get; init; }

    [Description("Whose execution provider runs on a GPU: halo (a kernel for every node, recorded and replayed) or onnxruntime (ONNX Runtime's own, of its GPU "
        + "build, which HALO_ONNXRUNTIME names).")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers)]
    public CudaProvider Provider { get; init; }

    [Description("Whose kernels run attention on a GPU: auto (cuDNN's where it is there and takes the graph's attention, else ours), halo (ours) or cudnn.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.Plan)]
    public AttentionKernels Attention { get; init; }

    [Description("Threads on the CPU; 0: one per core.")]
    [Range(0, SessionSettings.MaxThreads)]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers)]
    public int Threads { get; init; }

    [Description("What runs the operators of com.halo on the CPU: native kernels, or the function bodies in the graph (slower).")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Answers)]
    public OperatorKernels Operators { get; init; }

    /// <summary>How rows of data are read, and where their tokens are kept.</summary>
    internal RowSettings RowSettings() => new(DataFormat, Learn)
    {
        CacheFolder = DataCache ?? (Output is null ? null : Path.Combine(Output, Halo.Runner.Data.RowSettings.CacheName)),
        KeepsAll = DataCache is not null,
    };

    /// <summary>Updates of the run, from the batches of one epoch.</summary>
    public int TotalSteps(int batchesPerEpoch) => Steps ?? checked((Epochs ?? 1) * batchesPerEpoch);

    /// <exception cref="HaloException">The warm-up is longer than the run.</exception>
    internal LearningRateSchedule ScheduleOver(int totalSteps) => new(Schedule, LearningRate, WarmupSteps, totalSteps, MinLrRatio, DecayFraction);

    /// <summary>Reads a YAML file and lays options over it; an option wins over its key.</summary>
    /// <param name="yamlPath">The file, or null for options alone.</param>
    /// <param name="options">Key to text, as given on the command line.</param>
    /// <param name="required">Keys that the verb cannot do without, besides <c>model</c>.</param>
    /// <exception cref="HaloException">An unknown key, a value that is none, out of range or at odds with another; a required key is missing.</exception>
    public static TrainConfig Load(string? yamlPath, IReadOnlyDictionary<string, string>? options = null, params string[] required)
        => ConfigReader.Read(yamlPath is null ? null : (yamlPath, ConfigReader.TextOf(yamlPath)), options, required);

    /// <summary>As <see cref="Load"/>, from YAML text.</summary>
    public static TrainConfig Parse(string yaml, string name = "config", IReadOnlyDictionary<string, string>? options = null, params string[] required)
        => ConfigReader.Read((name, yaml), options, required);

    /// <summary>Every key in the order of this record, defaults included. Reading it gives the same record.</summary>
    public string ToYaml() => ConfigWriter.Write(this);

    /// <summary>JSON schema of the YAML form, as text.</summary>
    public static string Schema() => ConfigSchema.Write();
}
