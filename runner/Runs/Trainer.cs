using System.Diagnostics;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Models.Adapters;
using Halo.Models.Chat;
using Halo.Models.HuggingFace;
using Halo.Models.Weights;
using Halo.Runner.Data;
using Halo.Runner.Distributed;
using Halo.Runner.Memory;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Runs;

/// <summary>What a run came to.</summary>
/// <param name="Step">Updates done.</param>
/// <param name="TotalSteps">Updates asked for; more than <paramref name="Step"/> where the run was stopped.</param>
/// <param name="Before">Validation loss before the first update; null without validation data.</param>
/// <param name="After">Validation loss after the last one.</param>
/// <param name="EndedEarly">Whether the run ended by its patience.</param>
/// <param name="Taken">The step whose weights are the model; null where none is written.</param>
internal sealed record TrainingOutcome(int Step, int TotalSteps, double? Before, double? After, bool EndedEarly = false, int? Taken = null)
{
    public bool IsComplete => Step == TotalSteps || EndedEarly;
}

/// <summary>Fine-tunes: the loop over updates, with evaluation, metrics and checkpoints around it.</summary>
/// <param name="opened">All that it works with; not owned.</param>
/// <param name="display">Is told what is done, by the first rank; null: nobody is.</param>
/// <remarks>
/// The same config gives the same losses, whether the run was interrupted or not: order of rows, schedule and arithmetic follow from the
/// step number and the checkpoint, both float32 and exact.
/// </remarks>
internal sealed class Trainer(OpenedRun opened, TrainingDisplay? display = null)
{
    /// <summary>What ranks sent, for the report.</summary>
    private IReadOnlyList<string> _traffic = [];

    /// <summary>What evaluations have cost of it.</summary>
    private IReadOnlyList<CollectiveCount> _evaluations = [];

    /// <summary>What this rank's collectives had cost when the last row was written.</summary>
    private IReadOnlyList<CollectiveCount> _counted = [];

    private bool _endedEarly;

    private Batch? _next; // of the next update, laid out while the GPU computes

    /// <summary>Updates done.</summary>
    public int Step { get; private set; } = opened.Step;

    /// <summary>Trains to the end, or to the end of the update during which <paramref name="stop"/> is set; saves either way.</summary>
    /// <exception cref="TrainingFailedException">A loss or gradient is not finite. The last checkpoint stands.</exception>
    public TrainingOutcome Run(CancellationToken stop)
    {
        using var metrics = !IsFirst ? MetricsLog.Unwritten() : Step == 0 ? MetricsLog.Create(opened.Run.Metrics) : MetricsLog.Resume(opened.Run.Metrics, Step);
        using var events = IsFirst ? new TensorBoardWriter(opened.Run.Path, metrics.Rows) : null;
        var progress = (IsFirst ? display : null) ?? new TrainingDisplay();
        if (IsFirst && metrics.Missing(Step) is > 0 and var missing)
            progress.Say($"{opened.Run.Metrics}: the rows of {missing} of {Step} updates are missing; report and curves go on without them");
        progress.Run(() =>
        {
            Evaluate(metrics, Add, IsEvaluationDue());
            var stops = Stops(stop);
            _endedEarly = IsOutOfPatience(metrics); // as it had ended before it is gone on with
            while (Step < opened.TotalSteps && !stops && !_endedEarly)
            {
                var update = Update();
                Add(update);
                if (update is { MemoryPeak: { } peak, MemoryReserved: { } reserved } && Step == opened.Step + 1)
                    progress.Say($"memory: {MemorySize.Text(peak)} in use at the most, {MemorySize.Text(reserved)} reserved");
                if (opened.Plan.Device.IsGpu && AttentionUse.Take() is { } attention)
                    progress.Say(attention);
                Evaluate(metrics, Add, IsEvaluationDue());
                stops = Stops(stop);
                if (_endedEarly = IsOutOfPatience(metrics))
                    progress.Say($"ends at step {Step}: {opened.Plan.Config.Patience} evaluations without a lower validation loss than that of step {BestOf(metrics)!.Step}");
                if (IsDue(opened.Plan.Config.SaveEvery) || Step == opened.TotalSteps || stops || _endedEarly || IsBestYet(metrics))
                    Save(metrics);
            }
            if (World is { } world && Step > opened.Step)
            {
                foreach (var line in _traffic = MeasuredTraffic.Lines(world, opened.Traffic!, Step - opened.Step, _evaluations))
                    progress.Say(line);
            }
            return Step;
        });
        return Finish(metrics);

        void Add(MetricsRow row)
        {
            metrics.Append(row);
            events?.Append(row);
            progress.Report(row);
        }
    }

    private World? World => opened.Plan.World;

    /// <summary>This rank writes what is written once.</summary>
    private bool IsFirst => World?.IsFirst ?? true;

    /// <summary>A signal may reach some ranks only; they end together.</summary>
    private bool Stops(CancellationToken stop) => World?.Any($"stop after step {Step}", stop.IsCancellationRequested) ?? stop.IsCancellationRequested;

    private MetricsRow Update()
    {
        var watch = Stopwatch.StartNew();
        (var batch, _next) = (_next ?? opened.Train.At(Step), null);
        var rate = opened.Schedule.At(Step);
        if (opened.Plan.Interface.Chosen.Count > 0 && IsDue(opened.Plan.Config.AdapterEvery))
            opened.Engine.ChooseRows();
        var result = opened.Engine.Step(batch.MicroBatches, Step + 1, rate, () => _next = Step + 1 < opened.TotalSteps ? opened.Train.At(Step + 1) : null);
        Step++;
        var memory = opened.Plan.Session.Provider == CudaProvider.Halo ? DeviceMemory.Take(opened.Plan.Device) : null; // the other has an arena of its own
        var milliseconds = watch.Elapsed.TotalMilliseconds;
        var sent = World is null ? null : Traffic(World);
        var tflops = opened.Operations * batch.MicroBatches.Count * (World?.Rank.Count ?? 1) / milliseconds / 1e9;
        return new MetricsRow
        {
            Step = Step,
            Kind = MetricsKind.Train,
            Loss = result.Loss,
            Epoch = (double)Step / opened.Train.BatchesPerEpoch,
            GradientNorm = result.GradientNorm,
            LearningRate = rate,
            Milliseconds = milliseconds,
            Tokens = result.Tokens,
            CountedTokens = result.CountedTokens,
            Tflops = tflops,
            Bf16Share = tflops / opened.Peak?.Bf16,
            Fp8Share = tflops / opened.Peak?.Fp8,
            MemoryPeak = memory?.Peak,
            MemoryReserved = memory?.Reserved,
            SentBytes = sent?.Sum(c => c.Bytes),
            CollectiveMilliseconds = sent?.Sum(c => c.Seconds) * 1e3,
            WaitMilliseconds = sent?.Sum(c => c.WaitSeconds) * 1e3,
            Time = Now(),
        };
    }

    /// <summary>What collectives have cost this rank since it was last asked.</summary>
    private IReadOnlyList<CollectiveCount> Traffic(World world)
    {
        var now = world.Communicator.Counters();
        var since = MeasuredTraffic.Since(_counted, now);
        _counted = now;
        return since;
    }

    private void Evaluate(MetricsLog metrics, Action<MetricsRow> add, bool isDue)
    {
        if (!isDue || opened.Valid.Count == 0)
            return;
        var isThere = metrics.Has(MetricsKind.Eval, Step);
        if (World?.Any($"validation of step {Step}", IsFirst && isThere) ?? isThere) // rank 0 has the log
            return;
        if (World is not null)
            _ = Traffic(World); // of updates: no part of this
        var losses = opened.Valid.Select(file => opened.Evaluator.Loss(file.Rows.Epoch(), Step)).ToList();
        if (World is { } world)
            _evaluations = MeasuredTraffic.Sum([.. _evaluations, .. Traffic(world)]);
        var counted = losses.Sum(l => l.CountedTokens);
        add(new MetricsRow
        {
            Step = Step,
            Kind = MetricsKind.Eval,
            Loss = losses.Count == 1 ? losses[0].Loss : losses.Sum(l => l.Loss * l.CountedTokens) / counted,
            Files = losses.Count == 1 ? null : opened.Valid.Zip(losses).ToDictionary(p => p.First.Name, p => p.Second.Loss),
            CountedTokens = counted,
            Time = Now(),
        });
    }

    /// <summary>The evaluation of the least loss, the first of equals; null before any.</summary>
    private static MetricsRow? BestOf(MetricsLog metrics) => metrics.Rows.Where(r => r.Kind == MetricsKind.Eval).MinBy(r => r.Loss);

    /// <summary>Rank 0 has the log.</summary>
    private bool IsOutOfPatience(MetricsLog metrics)
    {
        if (opened.Plan.Config.Patience is not { } patience)
            return false;
        var isOut = IsFirst && BestOf(metrics) is { } best && metrics.Rows.Count(r => r.Kind == MetricsKind.Eval && r.Step > best.Step) >= patience;
        return World?.Any($"patience at step {Step}", isOut) ?? isOut;
    }

    /// <summary>Whether this step is to be kept as the best one so far.</summary>
    private bool IsBestYet(MetricsLog metrics)
    {
        if (opened.Plan.Config.Take != TakenModel.Best)
            return false;
        var isBest = IsFirst && BestOf(metrics)?.Step == Step;
        return World?.Any($"best at step {Step}", isBest) ?? isBest;
    }

    private void Save(MetricsLog metrics)
    {
        var valid = metrics.Rows.LastOrDefault(r => r.Kind == MetricsKind.Eval && r.Step == Step)?.Loss;
        metrics.Sync();
        var perEpoch = opened.Train.BatchesPerEpoch;
        var state = new RunState(Step, Step / perEpoch, Step % perEpoch, opened.DataSha256, valid)
        {
            GradientNorm = opened.Plan.Config.ClipBy == ClipReference.PreviousStep ? opened.Engine.PreviousNorm : null,
        };
        if (World is { } world)
            opened.Checkpoints.Save(opened.Engine, state, world, opened.Rows);
        else
            opened.Checkpoints.Save(opened.Engine, state);
        if (IsFirst)
            opened.Run.Record = opened.Run.Record with { NewestCheckpoint = Step };
    }

    private TrainingOutcome Finish(MetricsLog metrics)
    {
        var evaluations = metrics.Rows.Where(r => r.Kind == MetricsKind.Eval).ToList();
        var outcome = new TrainingOutcome(Step, opened.TotalSteps, evaluations.FirstOrDefault(r => r.Step == 0)?.Loss,
            evaluations.LastOrDefault(r => r.Step == Step && r.Step > 0)?.Loss, _endedEarly);
        outcome = outcome with { Taken = outcome.IsComplete && opened.Plan.Config.Take == TakenModel.Best ? opened.Checkpoints.Best()?.Step : null };
        if (World is { } world)
            world.Together("end", () => WriteResults(metrics, outcome));
        else
            WriteResults(metrics, outcome);
        return outcome;
    }

    private void WriteResults(MetricsLog metrics, TrainingOutcome outcome)
    {
        if (!IsFirst)
            return;
        opened.Checkpoints.Prune();
        RunReport.Write(opened.Run, opened.Plan.Config, opened.Artifact, metrics.Rows, _traffic);
        if (!outcome.IsComplete)
            return;
        // A rank has rows alone; the best step's weights are no longer in the buffers.
        using var whole = outcome.Taken is { } taken && taken != Step ? opened.Checkpoints.OpenBestWeights()!.Value.Weights
            : World is null ? null : opened.Checkpoints.OpenNewestWeights()!.Value.Weights;
        using var weights = opened.Artifact.OpenWeights(); // what the graph does not take is copied from there
        using var adapter = opened.Artifact.OpenAdapter(weights);
        if (adapter is not null)
        {
            var values = outcome.Taken is { } best && best != Step ? whole!.Tensors.Values.Select(SafetensorsSource.From)
                : opened.Engine.Parameters.Sources().Where(s => opened.Engine.Saved.Contains(s.Name));
            var places = adapter.Tensors.Where(t => AdapterNames.IsPlaces(t.Key)).Select(t => SafetensorsSource.From(t.Value) with { Name = t.Key });
            AdapterFolder.Write(opened.Run.Adapter, adapter.Config, values.Concat(places), BaseDigest.Of(weights));
        }
        else
        {
            var folder = opened.Artifact.Checkpoint;
            HuggingFaceFolder.Write([folder], folder, opened.Run.Model, "model", tensor => Trained(tensor, whole),
                [.. StopTokens.Of(folder, DecoderConfig.Load(folder), opened.Plan.Data.Tokenizer)]);
        }
    }

    /// <summary>The trained values of a checkpoint's tensor; null where the graph does not take it. A tied head repeats the embedding.</summary>
    private float[]? Trained(SafetensorsTensor tensor, CheckpointReader? whole)
    {
        var isTied = tensor.Name == "lm_head.weight" && DecoderConfig.Load(opened.Artifact.Checkpoint).TieWordEmbeddings;
        var name = isTied ? "model.embed_tokens.weight" : tensor.Name;
        return !opened.Engine.Parameters.Parameters.Any(p => p.Name == name) ? null
            : whole is null ? opened.Engine.Parameters.Read(name) : whole.Tensors[name].ReadFloats();
    }

    private bool IsEvaluationDue() => Step == 0 || Step == opened.TotalSteps || IsDue(opened.Plan.Config.EvalEvery);

    private bool IsDue(int every) => every > 0 && Step % every == 0;

    private static double Now() => DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() / 1000.0;
}
