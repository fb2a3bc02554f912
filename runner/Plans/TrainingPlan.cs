using Halo.Analysis;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Data;
using Halo.Runner.Distributed;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

namespace Halo.Runner.Plans;

/// <summary>What a run is, in memory: the graphs that a config calls for, each made once, and where weights, tokenizer and settings come from.</summary>
/// <remarks>
/// Made of a config by <see cref="Of"/>; read from an artifact, which is its written form, by <c>TrainingArtifact.PlanFor</c>. The graphs besides the
/// training graph are made, or read, when they are first asked for.
/// </remarks>
internal sealed class TrainingPlan
{
    private readonly Lazy<Model> _evaluation;
    private readonly Lazy<Model> _forward;
    private readonly Lazy<Model> _optimizer;
    private readonly Lazy<RunData> _data;
    private readonly TrainingGraphSource? _source; // null where the plan was read

    private TrainingPlan(TrainingGraphSource source, RewrittenGraph rewritten, IReadOnlyList<IGraphPass> passes, RunData data)
    {
        (_source, Training, Rewritten, Passes) = (source, rewritten.Model, rewritten, passes);
        _evaluation = new Lazy<Model>(() => EvaluationGraph.Of(Training.Clone()));
        _forward = new Lazy<Model>(() => source.Forward().Model);
        _optimizer = new Lazy<Model>(() => Update(null));
        _data = new Lazy<RunData>(() => data.For(Interface!, Config!.Packing));
    }

    /// <summary>A plan that was read.</summary>
    internal TrainingPlan(Model training, Func<Model> evaluation, Func<Model> forward, Func<Model> optimizer)
    {
        (Training, Passes) = (training, []);
        (_evaluation, _forward, _optimizer) = (new Lazy<Model>(evaluation), new Lazy<Model>(forward), new Lazy<Model>(optimizer));
        _data = new Lazy<RunData>(() => DataOf(Companions!, Config!).For(Interface!, Config!.Packing));
    }

    public required TrainConfig Config { get; init; }

    /// <summary>The rewrite; empty where the plan was read and its graphs are rewritten already.</summary>
    public IReadOnlyList<IGraphPass> Passes { get; }

    /// <summary>What the rewrite did; null where the plan was read.</summary>
    public RewrittenGraph? Rewritten { get; }

    /// <summary>Loss and gradients, rewritten.</summary>
    public Model Training { get; }

    /// <summary>Loss and logits of <see cref="Training"/>.</summary>
    public Model Evaluation => _evaluation.Value;

    /// <summary>Loss and logits as they were before the rewrite, in float32: what is exported and generates.</summary>
    public Model Forward => _forward.Value;

    /// <summary>The update of <see cref="UpdatedParameters"/>, from gradients of the parameters' type.</summary>
    /// <exception cref="HaloException">The parameters are not of the type that the run is to keep.</exception>
    public Model OptimizerModel => _optimizer.Value;

    /// <summary>From the frozen weights to what <see cref="Training"/> reads of them; null where it reads the weights, and where the plan was read.</summary>
    public Model? Base { get; private init; }

    /// <summary>What <see cref="Training"/> takes and gives.</summary>
    public required TrainingInterface Interface { get; init; }

    /// <summary>What is trained over a frozen base; null where the model itself is, and where the plan was read.</summary>
    public RunAdapter? Adapter { get; private init; }

    public required AdamWSettings Optimizer { get; init; }

    /// <summary>The starting weights: a safetensors file or a folder.</summary>
    public required string Weights { get; init; }

    /// <summary>The folders of config.json and of the tokenizer's files, the first that has a file counts.</summary>
    public required IReadOnlyList<string> Companions { get; init; }

    public required Device Device { get; init; }

    /// <summary>The ranks that share the run; null: there is one alone.</summary>
    public World? World { get; init; }

    public Rank Rank => World?.Rank ?? Rank.Only;

    /// <summary>Rows of an update.</summary>
    public int BatchSize => Config.BatchSize ?? Interface.Rows;

    /// <summary>How the graphs run.</summary>
    public SessionSettings Session =>
        new()
        {
            Device = Device,
            Rank = Rank,
            Communicator = World?.Communicator.Id,
            Provider = Config.Provider,
            // Of collectives those by copies can be recorded; the other provider runs a graph thrice to make a recording.
            Replays = World?.Records != false && Config.Provider == CudaProvider.Halo,
            Threads = Config.Threads,
            Operators = Config.Operators,
            Attention = Config.Attention,
        };

    /// <summary>Tokenizer and template, read when they are first asked for.</summary>
    /// <exception cref="HaloException">A file is missing, damaged, or does not fit the graph.</exception>
    public RunData Data => _data.Value;

    /// <summary>The parameters that updates write.</summary>
    /// <exception cref="HaloException">They are neither float32 nor, where the config says so, bfloat16.</exception>
    public IReadOnlyList<(string Name, Shape Shape)> UpdatedParameters => Interface.ParameterType == ElementType.Float || KeepsBFloat16 ? Interface.Trained
        : throw new HaloException("train", Config.Model, "float32 parameters, which an update keeps its digits in", Interface.ParameterType.Name(),
            "Make the float32 graph of it with halo gradient --precision fp32; --precision bf16 of halo train computes in bfloat16 over float32 parameters, "
            + "with --states bf16 over bfloat16 ones.");

    /// <summary>The update as bytes; where gradients are summed over micro-batches in float32, it takes them so.</summary>
    public byte[] OptimizerFor(bool accumulates, string written) =>
        accumulates && Interface.ParameterType != ElementType.Float && Config.GradientSums == StatePrecision.Fp32
        ? OnnxWriter.ToBytes(Update(ElementType.Float)) : File.ReadAllBytes(written);

    private Model Update(ElementType? gradient)
    {
        _ = UpdatedParameters;
        return Halo.Runner.Plans.UpdateGraph.Of(Interface, Optimizer, gradient);
    }

    /// <summary>Updates have more than one micro-batch, where one process runs them.</summary>
    public bool Accumulates => BatchSize > Interface.Rows;

    /// <summary>The training graph as one process runs it: see <see cref="AsRun(TrainConfig, Model, TrainingInterface, AdamWSettings)"/>.</summary>
    public (Model Training, Model? Codes) TrainingAsRun() => AsRun(Config, Training, Interface, Optimizer);

    /// <summary>
    /// A copy of a training graph with what a run does with gradients in it, the updates or the sums over micro-batches, its nodes in the order that frees
    /// gradients early, residuals offloaded where the run does that, codes in the memory of gradients on a GPU; the graph itself where there is nothing to add.
    /// And the graph that makes what it reads of weights (<see cref="UpdateCodes"/>), where the run does that once an update of several micro-batches.
    /// </summary>
    /// <exception cref="PassException">The run is to do that, and no trained weight is quantized.</exception>
    internal static (Model Training, Model? Codes) AsRun(TrainConfig config, Model training, TrainingInterface @interface, AdamWSettings optimizer)
    {
        var accumulates = (config.BatchSize ?? 0) > @interface.Rows;
        GradientSums.Require(config, @interface, accumulates);
        var lends = config.Device == GraphDevice.Cuda && !config.OptimizerInBackward && !accumulates; // else gradients have no memory of their own
        if (!config.OptimizerInBackward && !accumulates && !config.OffloadResiduals && !lends)
            return (training, null);
        var model = training.Clone();
        ShapeInference.Run(model.Graph);
        var codes = accumulates && config.WeightCodes == WeightCodes.Update ? UpdateCodes.Split(model) : null;
        if (codes is not null)
            PassManager.Run(codes, [new FuseRotations()], new PassOptions());
        if (config.OptimizerInBackward)
            Halo.Models.Optimizer.OptimizerInBackward.AddTo(model, @interface.Trained, optimizer, @interface.ParameterType);
        else if (accumulates)
            GradientGraphs.AddSumsTo(model, @interface.Trained.Select(p => p.Name), GradientSums.TypeOf(config));
        PassManager.Run(model, [new FuseRotations(), new OrderNodes(), .. config.OffloadResiduals ? (IGraphPass[])[new OffloadResiduals()] : [],
            .. lends ? (IGraphPass[])[new LendGradients()] : []], new PassOptions());
        return (model, codes);
    }

    /// <summary>A plan that was read has parameters of the type that it was prepared with.</summary>
    private bool KeepsBFloat16 => Interface.ParameterType == ElementType.BFloat16 && (_source is null || Config.States == StatePrecision.Bf16);

    /// <summary>Reads, makes or builds the training graph of a config and rewrites it; holds sizes, weights, config.json and tokenizer to it.</summary>
    /// <param name="config">Model, weights, sizes and rewrite.</param>
    /// <param name="say">Takes lines about what is done.</param>
    /// <exception cref="HaloException">Graph, weights, tokenizer or options are not right.</exception>
    /// <param name="holds">Split off what follows from frozen weights alone; false leaves it in the graph.</param>
    public static TrainingPlan Of(TrainConfig config, Action<string> say, bool holds = true)
    {
        var passes = RewritePasses.Of(config);
        var source = TrainingGraphSource.Open(config);
        Runs.Checkpoints.CheckGiven(StartingFiles.Weights(config));
        source.Folder?.CheckWeights(StartingFiles.Weights(config), say); // before anything is built: config.json may ask for more than fits into memory
        var companions = StartingFiles.Companions(config);
        var data = DataOf(companions, config); // what takes seconds to be found wrong comes before a graph that takes minutes
        data.Read(config.Data);
        foreach (var file in DataFiles.Named(config.Valid))
            data.Read(file);
        var training = source.Training();
        foreach (var end in training.GradientEnds)
            say(end);
        var rewritten = GraphRewriter.Rewrite(training, passes);
        if (config.AdapterBase == BaseWeights.Int4)
            RoundedBase.Apply(rewritten.Model);
        var frozen = holds ? FrozenBase.Split(rewritten.Model) : null;
        config = MemoryLevers.Apply(config, rewritten, say);
        if (frozen is not null)
            FrozenBase.AddTransposed(frozen, rewritten.Model.Graph);
        var device = new Device(config.Device);
        var plan = new TrainingPlan(source, rewritten, passes, data)
        {
            Config = config,
            Interface = TrainingInterface.Of(rewritten.Model.Graph, config.Model, device.Kind),
            Optimizer = OptimizerSettings.Of(config),
            Weights = StartingFiles.Weights(config),
            Companions = companions,
            Device = device,
            Adapter = source.Adapter,
            Base = frozen,
        };
        plan.CheckSizes();
        _ = plan.Data;
        using var checkpoint = CheckpointReader.Open(plan.Weights);
        ParameterBuffers.Check(plan.Adapter is null ? plan.Interface.Parameters : plan.Interface.Frozen, plan.Weights, checkpoint.Tensors);
        plan.Adapter?.Check(checkpoint);
        return plan;
    }

    /// <summary>The evaluation graph for several micro-batches at once, rewritten as such: their activations share one scale.</summary>
    /// <exception cref="InvalidOperationException">The plan was read: its graphs have the sizes they have.</exception>
    public Model WidenedEvaluation(int copies) => _source is null ? throw new InvalidOperationException("the plan was read from an artifact")
        : Rounded(EvaluationGraph.Widened(_source.Training(), copies, Passes));

    private Model Rounded(Model model)
    {
        if (Config.AdapterBase == BaseWeights.Int4)
            RoundedBase.Apply(model);
        return model;
    }

    /// <summary>A complaint names the user's file and not a copy.</summary>
    private static RunData DataOf(IReadOnlyList<string> companions, TrainConfig config)
    {
        HuggingFaceFolder.CheckCompanions(companions);
        return new RunData(HuggingFaceFolder.Find(companions, "config.json")!, HuggingFaceFolder.Find(companions, "tokenizer.json") ?? companions[0],
            config.RowSettings());
    }

    /// <summary>A training graph has its sizes; a config may repeat them but not ask for others.</summary>
    private void CheckSizes()
    {
        foreach (var (key, wish, size) in new[] { ("micro_batch_size", Config.MicroBatchSize, Interface.Rows),
            ("sequence_length", Config.SequenceLength, Interface.Sequence) })
        {
            if (wish is { } other && other != size)
            {
                throw new HaloException("prepare", key, $"{size}, the size that {Config.Model} was exported with", $"{other}",
                    "Leave it out, or export the graph at that size.");
            }
        }
    }
}
