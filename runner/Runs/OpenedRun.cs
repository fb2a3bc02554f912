using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Sharding;
using Halo.Passes.Training;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Distributed;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Schedules;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Runs;

/// <summary>A plan with all that is open while it is trained: sessions over one set of parameters, data, checkpoints, and where the run stands.</summary>
internal sealed class OpenedRun : IDisposable
{
    private OpenedRun() { }

    public required TrainingPlan Plan { get; init; }

    public required TrainingArtifact Artifact { get; init; }

    public required RunFolder Run { get; init; }

    public required Batcher Train { get; init; }

    /// <summary>What is evaluated, by the file's name; empty where nothing is.</summary>
    public required IReadOnlyList<(string Name, Batcher Rows)> Valid { get; init; }

    public required TrainingEngine Engine { get; init; }

    /// <summary>The evaluation graph over the present weights.</summary>
    public required Evaluator Evaluator { get; init; }

    public required Checkpoints Checkpoints { get; init; }

    public required LearningRateSchedule Schedule { get; init; }

    /// <summary>Updates in all.</summary>
    public required int TotalSteps { get; init; }

    /// <summary>Of the training data.</summary>
    public required string DataSha256 { get; init; }

    /// <summary>What the run was started with, as run.json has it.</summary>
    public required RunRecord Began { get; init; }

    /// <summary>Where this rank's rows lie in whole tensors; all of them where there is one rank.</summary>
    public Rows Rows { get; private init; } = Rows.All;

    /// <summary>What this rank is to send for an update; null where there is one rank.</summary>
    public PlannedTraffic? Traffic { get; private init; }

    /// <summary>Of the matrix products of a micro-batch; null where sizes are not known.</summary>
    public double? Operations { get; private init; }

    /// <summary>Of all GPUs of the run together; null where it is not known.</summary>
    public GpuPeak? Peak { get; private init; }

    /// <summary>Updates done: those of the newest checkpoint, whose content the engine has; 0 and the starting weights where there is none.</summary>
    public required int Step { get; init; }

    /// <summary>Opens the graphs of an artifact, loads data and weights, and finds where the run stands.</summary>
    /// <param name="plan">Made of a config that names data, or read from the artifact.</param>
    /// <param name="artifact">Its written form.</param>
    /// <param name="run">The run's folder, new or to be resumed.</param>
    /// <param name="say">Takes lines about what is done before training.</param>
    /// <exception cref="HaloException">Settings, tokenizer, data or checkpoint are not right.</exception>
    public static OpenedRun Open(TrainingPlan plan, TrainingArtifact artifact, RunFolder run, Action<string> say)
    {
        var (config, @interface, world) = (plan.Config, plan.Interface, plan.World);
        say(LinearReport.Line(plan.Training.Graph));
        var rows = plan.Data.Load(config.Data!);
        foreach (var line in rows.Notes.Prepend(rows.Summary))
            say(line);
        var train = plan.Data.ForTraining(rows, plan.BatchSize, config.Seed);
        if (train.PackingSummary() is { } packing)
            say(packing);
        var valid = plan.Data.LoadEach(config.Valid).Select(file => (file.Name, plan.Data.ForEvaluation(file.Rows))).ToList();
        var totalSteps = config.TotalSteps(train.BatchesPerEpoch);
        var schedule = config.ScheduleOver(totalSteps);
        var checkpoints = new Checkpoints(run.Checkpoints, config.KeepCheckpoints);
        var began = world is null ? HoldToStart(run, artifact, config, checkpoints.Newest() is not null)
            : HoldToStart(run, artifact, config, checkpoints, world);
        var dataSha256 = began.DataSha256!;
        using var weights = artifact.OpenWeights(); // held to their digests in any case: what the graph does not take goes into the model in the end
        OptimizerSettings.Check(config, plan.Optimizer, artifact.Folder);
        _ = plan.UpdatedParameters;
        var accumulates = plan.BatchSize > (world?.Rank.Count ?? 1) * @interface.Rows;
        var graphs = world is null ? null
            : RankGraphs.Of(world.Plan, plan.Training, plan.Evaluation, plan.Optimizer, plan.Device.Kind, accumulates, config.OptimizerInBackward);
        plan.Device.ShortageAdvice = bytes => PlannedMemory.Advice(plan, bytes);
        foreach (var line in graphs is null ? PlannedMemory.Lines(plan) : PlannedMemory.Lines(plan, graphs, accumulates))
            say(line);

        if (config.OptimizerInBackward && accumulates)
        {
            throw new HaloException("train", "optimizer_in_backward",
                $"one micro-batch an update{(world is null ? "" : " and rank")}: a batch of {(world?.Rank.Count ?? 1) * @interface.Rows} rows", $"a batch of {plan.BatchSize}",
                "Set batch_size to that, or leave optimizer_in_backward out: gradients of several are summed.");
        }
        var (engine, evaluator) = graphs is null ? Sessions(plan, artifact, weights, accumulates) : Sessions(plan, artifact, weights, graphs, accumulates, world!);
        engine.MostMicroBatches = (plan.BatchSize + @interface.Rows - 1) / @interface.Rows; // packed rows are fewer, and not as many in each update
        if (@interface.HasAdapters)
            engine.Parameters.Load(artifact.Checkpoint, weights.Tensors, only: @interface.Frozen);
        using var adapter = artifact.OpenAdapter(weights);
        var (path, starting) = adapter is null ? (weights.Path, weights.Tensors) : (adapter.WeightsPath, adapter.Tensors);
        var shares = graphs?.Rows ?? Rows.All;
        var step = Start(checkpoints, engine, @interface, path, starting, run, config.Data!, dataSha256, world, shares, say);
        world?.Together("ready", () => { }); // sessions of large graphs take their time, and not the same on each rank
        if (step > totalSteps)
            throw new HaloException("resume", "steps", $"at least the {step} updates that are done", $"{totalSteps}", "Give more --steps or --epochs.");
        if (@interface.HasAdapters)
            say($"{@interface.Trained.Sum(p => p.Shape.ElementCount!.Value):N0} parameters of the adapter are trained, the others are frozen");
        var states = @interface.ParameterType == ElementType.Float ? "" : $", gradients and moments in {@interface.ParameterType.Name()}";
        if (world is not null)
            say($"{world.Rank.Count} ranks, shard {config.Shard.ToString().ToLowerInvariant()}: this one holds "
                + $"{engine.Parameters.Parameters.Sum(p => p.Shape.ElementCount!.Value):N0} parameters"
                + (graphs is not null && ExchangeRows.PartsOf(graphs.Training.Graph) is { Count: > 0 } parts
                    ? $"; rows that tokens look up are sent in place of their table, {string.Join(" and ", parts)}" : ""));
        if (world is not null && plan.Device.IsGpu && Environment.ProcessorCount == 1)
            say("this rank has one processor for all its threads: mpirun binds each of two ranks to a core, but with --bind-to none");
        say($"{@interface.Parameters.Sum(p => p.Shape.ElementCount!.Value):N0} parameters{states}; "
            + $"steps {step} to {totalSteps}, "
            + $"{plan.BatchSize} rows each in micro-batches of {@interface.Rows} x {@interface.Sequence}");
        return new OpenedRun
        {
            Plan = plan,
            Artifact = artifact,
            Run = run,
            Train = train,
            Valid = valid,
            Engine = engine,
            Evaluator = evaluator,
            Checkpoints = checkpoints,
            Schedule = schedule,
            TotalSteps = totalSteps,
            DataSha256 = dataSha256,
            Began = began,
            Step = step,
            Rows = shares,
            Operations = ProductOperations.Of(plan.Training.Graph),
            Peak = plan.Device.IsGpu ? GpuPeak.Of(plan.Device.Name)?.Times(world?.Rank.Count ?? 1) : null,
            Traffic = graphs is null ? null
                : PlannedTraffic.Of(graphs, (plan.BatchSize + (world!.Rank.Count * @interface.Rows) - 1) / (world.Rank.Count * @interface.Rows)),
        };
    }

    public void Dispose()
    {
        Evaluator.Dispose();
        Engine.Dispose();
        Run.Dispose();
    }

    private static (TrainingEngine, Evaluator) Sessions(TrainingPlan plan, TrainingArtifact artifact, CheckpointReader weights, bool accumulates)
    {
        var (config, batch) = (plan.Config, plan.Interface.BatchNames);
        var (training, codes) = plan.TrainingAsRun();
        var session = training == plan.Training ? GraphSession.OfBatch(artifact.TrainingModel, plan.Session, batch)
            : GraphSession.OfBatch(config.OptimizerInBackward ? "training_model.onnx with updates" : "training_model.onnx", training, plan.Session,
                [.. batch, .. OffloadResiduals.RoomOf(training.Graph).Select(r => r.Name)]);
        var optimizer = config.OptimizerInBackward ? null : plan.OptimizerFor(accumulates, artifact.OptimizerModel);
        var engine = new TrainingEngine(plan.Interface, session, optimizer, accumulates, config.Threads, config.Seed, config.Offload, config.Moments);
        engine.OffloadTo(OffloadResiduals.RoomOf(training.Graph));
        engine.Lend(LendGradients.LoansOf(training.Graph));
        if (codes is not null)
            engine.MakeCodesBy(GraphSession.Of("codes of weights", codes, plan.Session));
        var held = artifact.Hold(plan.Training, weights, plan.Session);
        if (held is not null)
            engine.Hold(held);
        return (engine, new Evaluator(GraphSession.OfBatch(artifact.EvalModel, plan.Session, batch), plan.Interface, engine.Parameters, held: held));
    }

    private static (TrainingEngine, Evaluator) Sessions(TrainingPlan plan, TrainingArtifact artifact, CheckpointReader weights, RankGraphs graphs,
        bool accumulates, World world)
    {
        var engine = new TrainingEngine(graphs.Interface, GraphSession.OfBatch("training_model.onnx", graphs.Training, plan.Session, graphs.Interface.BatchNames),
            plan.Config.OptimizerInBackward ? null : OnnxWriter.ToBytes(graphs.Optimizer), accumulates, plan.Config.Threads, plan.Config.Seed, world: world);
        var held = artifact.Hold(graphs.Training, weights, plan.Session, world.Plan.OfBase);
        if (held is not null)
            engine.Hold(held);
        return (engine,
            new Evaluator(GraphSession.OfBatch("eval_model.onnx", graphs.Evaluation!, plan.Session, graphs.Interface.BatchNames), graphs.Interface,
                engine.Parameters, held: held, world: world));
    }

    /// <summary>Holds artifact and data to what the run was started with, or notes it where this is the start.</summary>
    private static RunRecord HoldToStart(RunFolder run, TrainingArtifact artifact, TrainConfig config, bool hasCheckpoint)
    {
        const string Advice = "Restore the file, or start a new run from the fine-tuned model.";
        var record = run.Record;
        if (hasCheckpoint)
            record.RequireDigests(run.RecordFile, config.Valid is not null);
        var began = record with
        {
            ArtifactSha256 = run.HoldArtifact(artifact.Folder),
            DataSha256 = RunRecord.HoldData(config.Data!, record.DataSha256, "data", Advice),
            ValidSha256 = config.Valid is { } valid ? RunRecord.HoldData(valid, record.ValidSha256, "validation data", Advice) : null,
        };
        if (began != record)
            run.Record = began;
        return began;
    }

    /// <exception cref="HaloException">A batch has no micro-batch for each rank.</exception>
    public static void RequireRows(TrainingPlan plan, World world)
    {
        var config = plan.Config;
        if (plan.BatchSize < world.Rank.Count * plan.Interface.Rows)
        {
            throw new HaloException("train", "batch_size", $"{world.Rank.Count * plan.Interface.Rows} rows or more, a micro-batch of {plan.Interface.Rows} for "
                + $"each of {world.Rank.Count} ranks", $"{plan.BatchSize}{(config.BatchSize is null ? ", one micro-batch, as it was not given" : "")}",
                "Give a larger --batch-size, or start fewer ranks.");
        }
    }

    /// <summary>The same by rank 0 for all; each holds what it reads itself to what rank 0 has read.</summary>
    private static RunRecord HoldToStart(RunFolder run, TrainingArtifact artifact, TrainConfig config, Checkpoints checkpoints, World world)
    {
        world.Together("start", () => _ = world.IsFirst ? HoldToStart(run, artifact, config, checkpoints.Newest() is not null) : null);
        var newest = checkpoints.Newest()?.Step;
        world.Hold("start", [("version", $"{Ledger.ToolVersion}, ONNX Runtime {OrtEnv.Instance().GetVersionString()}"),
            ("settings", Digest(config with { Output = null })),
            ("artifact", GraphRewriter.Sha256(Path.Combine(artifact.Folder, TrainingArtifact.ManifestName))),
            ("training data", DataFiles.Sha256(DataFiles.Of(config.Data!))), ("validation data", config.Valid is { } valid ? DataFiles.Sha256(DataFiles.Of(valid)) : "none"),
            ("step to go on from", $"{newest ?? 0}")]);
        return run.Record;

        // Paths may differ between machines; what lies there is compared by itself.
        static string Digest(TrainConfig config) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(
            (config with { Model = "", Weights = null, Tokenizer = null, Data = null, Valid = null, DataCache = null }).ToYaml())));
    }

    /// <summary>The newest checkpoint's step, its content loaded; 0 and the starting weights if the run has saved none.</summary>
    private static int Start(Checkpoints checkpoints, TrainingEngine engine, TrainingInterface @interface, string path,
        IReadOnlyDictionary<string, SafetensorsTensor> starting, RunFolder run, string data, string dataSha256, World? world, Rows rows, Action<string> say)
    {
        var saved = run.Record.NewestCheckpoint;
        if (checkpoints.Newest() is { } state)
        {
            if (state.DataSha256 != dataSha256)
                throw new HaloException("resume", data, "the data that the run began with", "other content",
                    "Restore the file, or start a new run from the fine-tuned model.");
            if (saved > state.Step)
                say(run.MissedCheckpoint(saved.Value, state.Step));
            if (world is null)
                checkpoints.Load(engine, state);
            else
                checkpoints.Load(engine, state, world, rows);
            return state.Step;
        }
        if (saved is { } lost)
            throw run.LostCheckpoint(lost);
        if (world is null)
            engine.Parameters.Load(path, starting, only: @interface.Saved);
        else
            engine.Parameters.Load(path, starting, "", rows, engine.Parameters.Parameters.Where(p => engine.Saved.Contains(p.Name)));
        return 0;
    }
}
