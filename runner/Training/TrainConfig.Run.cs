using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Halo.CustomOps;
using Halo.Passes.Sharding;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Config;

namespace Halo.Training;

// When a run evaluates and saves, and what it runs on.
public sealed partial record TrainConfig
{
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

    [Description("What ranks send each other for tokens that look up rows of a split table, as the embedding is: rows (those of their tokens, and the gradients "
        + "of these), table (all of it, and all of its gradient), or auto (rows where they are fewer bytes than the table). A head that is tied to the embedding "
        + "has the table gathered and summed all the same, so auto is table there. With shard state gradients alone; gradients in 8 bits, and those of shard none, are sent whole.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public LookupExchange ShardLookups { get; init; }

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
}
