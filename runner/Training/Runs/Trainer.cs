using System.Diagnostics;
using Halo.Models.HuggingFace;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Metrics;
using Halo.Runner.Training.Schedules;
using Halo.Serialization;

namespace Halo.Runner.Training.Runs;

/// <summary>What a run came to.</summary>
/// <param name="Step">Updates done.</param>
/// <param name="TotalSteps">Updates asked for; more than <paramref name="Step"/> where the run was stopped.</param>
/// <param name="Before">Validation loss before the first update; null without validation data.</param>
/// <param name="After">Validation loss after the last one.</param>
public sealed record TrainingOutcome(int Step, int TotalSteps, double? Before, double? After)
{
    public bool IsComplete => Step == TotalSteps;
}

/// <summary>Fine-tunes: the loop over updates, with evaluation, metrics and checkpoints around it.</summary>
/// <remarks>
/// The same config gives the same losses, whether the run was interrupted or not: order of rows, schedule and arithmetic follow from the
/// step number and the checkpoint, both float32 and exact.
/// </remarks>
public sealed class Trainer : IDisposable
{
    private readonly TrainConfig _config;
    private readonly RunFolder _run;
    private readonly TrainingArtifact _artifact;
    private readonly TrainingEngine _engine;
    private readonly Evaluator _evaluator;
    private readonly Batcher _train;
    private readonly Batcher? _valid;
    private readonly Checkpoints _checkpoints;
    private readonly LearningRateSchedule _schedule;
    private readonly string _dataSha256;
    private readonly int _totalSteps;

    /// <summary>Opens or makes the artifact, loads data and weights, and finds where the run stands.</summary>
    /// <param name="config">Complete: data given.</param>
    /// <param name="run">The run's folder, new or to be resumed.</param>
    /// <param name="say">Takes lines about what is done before training.</param>
    /// <exception cref="HaloException">Graph, weights, tokenizer, data or checkpoint are not right.</exception>
    public Trainer(TrainConfig config, RunFolder run, Action<string> say)
    {
        SessionSettings.Require(config.Device, config.Precision);
        (_config, _run) = (config, run);
        _artifact = TrainingArtifact.Is(config.Model) ? TrainingArtifact.OpenFor(config)
            : TrainingArtifact.Is(run.Artifact) ? TrainingArtifact.Open(run.Artifact)
            : TrainingArtifact.Write(config, run.Artifact, say);
        var graph = OnnxReader.Read(_artifact.TrainingModel).Graph;
        say(Passes.Rewrite.LinearReport.Line(graph));
        var @interface = TrainingInterface.Of(graph, _artifact.TrainingModel);
        Data = new RunData(_artifact.Checkpoint, @interface);
        var rows = Data.Load(config.Data!);
        say($"{Path.GetFileName(config.Data)}: {rows.Rows.Count} rows, {rows.Tokens} tokens, {rows.CountedTokens} of them learned; "
            + $"longest row {rows.LongestRow}, {rows.Truncated} cut at {rows.MaxLength}, {rows.Dropped} left out");
        var batchSize = config.BatchSize ?? @interface.Rows;
        _train = Data.ForTraining(rows, batchSize, config.Seed);
        _valid = config.Valid is { } valid ? Data.ForEvaluation(Data.Load(valid)) : null;
        _totalSteps = config.TotalSteps(_train.BatchesPerEpoch);
        _schedule = config.ScheduleOver(_totalSteps);
        _dataSha256 = GraphRewriter.Sha256(config.Data!);

        var optimizer = OnnxWriter.ToBytes(AdamWGraph.Build(@interface.Trained, TrainingArtifact.OptimizerOf(config)));
        if (!optimizer.AsSpan().SequenceEqual(File.ReadAllBytes(_artifact.OptimizerModel)))
        {
            throw new HaloException("train", $"{_artifact.OptimizerModel}",
                "the optimizer that beta1, beta2, epsilon, weight_decay and clip_norm call for", "another",
                "Give the settings that the artifact was prepared with, or prepare it again.");
        }
        var settings = new SessionSettings { Device = config.Device, Replays = true, Threads = config.Threads, Operators = config.Operators };
        _engine = new TrainingEngine(@interface, new GraphSession(_artifact.TrainingModel, settings), optimizer,
            batchSize > @interface.Rows, config.Threads);
        _evaluator = new Evaluator(new GraphSession(_artifact.EvalModel, settings), @interface, _engine.Parameters);
        _checkpoints = new Checkpoints(run.Checkpoints, config.KeepCheckpoints);
        Step = Start();
        say($"{_engine.Parameters.Parameters.Sum(p => p.Shape.ElementCount!.Value):N0} parameters; steps {Step} to {_totalSteps}, "
            + $"{batchSize} rows each in micro-batches of {@interface.Rows} x {@interface.Sequence}");
    }

    public RunData Data { get; }

    /// <summary>Updates done.</summary>
    public int Step { get; private set; }

    public TrainingArtifact Artifact => _artifact;

    /// <summary>The graph over the present weights.</summary>
    public Evaluator Evaluator => _evaluator;

    /// <summary>Trains to the end, or to the end of the update during which <paramref name="stop"/> is set; saves either way.</summary>
    /// <exception cref="TrainingFailedException">A loss or gradient is not finite. The last checkpoint stands.</exception>
    public TrainingOutcome Run(CancellationToken stop)
    {
        using var metrics = Step == 0 ? MetricsLog.Create(_run.Metrics) : MetricsLog.Resume(_run.Metrics, Step);
        using var events = new TensorBoardWriter(_run.Path, metrics.Rows);
        var progress = new TrainingProgress(_totalSteps, _config.LogEvery);
        progress.Run(() =>
        {
            Evaluate(metrics, Add, IsEvaluationDue());
            while (Step < _totalSteps && !stop.IsCancellationRequested)
            {
                Add(Update());
                Evaluate(metrics, Add, IsEvaluationDue());
                if (IsDue(_config.SaveEvery) || Step == _totalSteps || stop.IsCancellationRequested)
                    Save(metrics);
            }
            return Step;
        });
        return Finish(metrics);

        void Add(MetricsRow row)
        {
            metrics.Append(row);
            events.Append(row);
            progress.Report(row);
        }
    }

    public void Dispose()
    {
        _evaluator.Dispose();
        _engine.Dispose();
    }

    private MetricsRow Update()
    {
        var watch = Stopwatch.StartNew();
        var batch = _train.At(Step);
        var rate = _schedule.At(Step);
        var result = _engine.Step(batch.MicroBatches, Step + 1, rate);
        Step++;
        return new MetricsRow
        {
            Step = Step,
            Kind = MetricsKind.Train,
            Loss = result.Loss,
            Epoch = (double)Step / _train.BatchesPerEpoch,
            GradientNorm = result.GradientNorm,
            LearningRate = rate,
            Milliseconds = watch.Elapsed.TotalMilliseconds,
            Tokens = result.Tokens,
            CountedTokens = result.CountedTokens,
            Time = Now(),
        };
    }

    private void Evaluate(MetricsLog metrics, Action<MetricsRow> add, bool isDue)
    {
        if (!isDue || _valid is null || metrics.Has(MetricsKind.Eval, Step))
            return;
        var (loss, counted) = _evaluator.Loss(_valid.Epoch());
        add(new MetricsRow { Step = Step, Kind = MetricsKind.Eval, Loss = loss, CountedTokens = counted, Time = Now() });
    }

    private void Save(MetricsLog metrics)
    {
        var valid = metrics.Rows.LastOrDefault(r => r.Kind == MetricsKind.Eval && r.Step == Step)?.Loss;
        _checkpoints.Save(_engine, new RunState(Step, Step / _train.BatchesPerEpoch, Step % _train.BatchesPerEpoch, _dataSha256, valid));
    }

    private TrainingOutcome Finish(MetricsLog metrics)
    {
        var evaluations = metrics.Rows.Where(r => r.Kind == MetricsKind.Eval).ToList();
        var outcome = new TrainingOutcome(Step, _totalSteps, evaluations.FirstOrDefault(r => r.Step == 0)?.Loss,
            evaluations.LastOrDefault(r => r.Step == Step && r.Step > 0)?.Loss);
        RunReport.Write(_run, _config, _artifact, metrics.Rows);
        if (!outcome.IsComplete)
            return outcome;
        using (_artifact.OpenWeights()) // what the graph does not take is copied from there
            HuggingFaceFolder.Write([_artifact.Checkpoint], _artifact.Checkpoint, _run.Model, "model", Trained);
        return outcome;
    }

    /// <summary>The trained values of a checkpoint's tensor; null where the graph does not take it. A tied head repeats the embedding.</summary>
    private float[]? Trained(SafetensorsTensor tensor)
    {
        var name = tensor.Name == "lm_head.weight" && LlamaConfig.Load(_artifact.Checkpoint).TieWordEmbeddings ? "model.embed_tokens.weight" : tensor.Name;
        return _engine.Parameters.Parameters.Any(p => p.Name == name) ? _engine.Parameters.Read(name) : null;
    }

    /// <summary>The newest checkpoint's step, its content loaded; 0 and the starting weights if there is none.</summary>
    private int Start()
    {
        if (_checkpoints.Newest() is { } state)
        {
            if (state.DataSha256 != _dataSha256)
                throw new HaloException("resume", _config.Data!, "the data that the run began with", "other content",
                    "Restore the file, or start a new run from the fine-tuned model.");
            _checkpoints.Load(_engine, state);
            return state.Step;
        }
        using var weights = _artifact.OpenWeights();
        _engine.Parameters.Load(_artifact.Checkpoint, weights.Tensors);
        return 0;
    }

    private bool IsEvaluationDue() => Step == 0 || Step == _totalSteps || IsDue(_config.EvalEvery);

    private bool IsDue(int every) => every > 0 && Step % every == 0;

    private static double Now() => DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() / 1000.0;
}
