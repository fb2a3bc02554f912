using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Runner.Data;
using Halo.Runner.Distributed;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Training.Engine;

/// <summary>What one update did.</summary>
/// <param name="Loss">Mean over the counted tokens of the batch, before the update.</param>
/// <param name="GradientNorm">Global norm of that mean's gradient, before clipping.</param>
/// <param name="CountedTokens">Tokens the loss is the mean of.</param>
/// <param name="Tokens">Tokens of the rows, without padding.</param>
public sealed record StepResult(double Loss, double GradientNorm, long CountedTokens, long Tokens);

/// <summary>Runs the training graph over micro-batches, sums their gradients, and updates parameters and moments in place.</summary>
/// <remarks>
/// Parameters, gradients, sums and moments are bound once. The loss and the gradient norm are checked before the optimizer runs: a
/// non-finite one stops the run with every parameter as it was. A graph that has the updates itself (<see cref="OptimizerInBackward"/>) takes one
/// micro-batch, leaves no gradients, and is found non-finite only when parameters are so: the last checkpoint stands then. A graph that has the sums
/// (<see cref="GradientGraphs.AddSumsTo"/>) leaves no gradients either.
/// </remarks>
public sealed class TrainingEngine : IDisposable
{
    /// <summary>Of graphs that are written in place: no fusion may move a read behind a write.</summary>
    private const GraphOptimizationLevel InPlace = GraphOptimizationLevel.ORT_DISABLE_ALL;

    private readonly TrainingInterface _interface;
    private readonly GraphSession _training;
    private readonly GraphSession? _norm;
    private readonly GraphSession? _optimizer; // the training graph itself where that has the updates
    private readonly bool _updatesInBackward;
    private readonly bool _sumsInBackward;
    private readonly bool _roundsSums;
    private readonly GraphSession? _accumulator;
    private readonly ParameterBuffers _gradients;
    private readonly ParameterBuffers? _sums;
    private readonly BatchBuffers _batch;
    private HeldTensors? _held;
    private readonly ChosenRows _chosen;
    private readonly World? _world;
    private readonly List<DeviceTensor> _offloaded = [];
    private readonly List<OrtValue> _lent = [];
    private readonly List<DeviceTensor> _made = [];
    private GraphSession? _codes;
    private readonly Dictionary<string, DeviceTensor> _scalars = new(StringComparer.Ordinal);

    /// <param name="interface">The training graph's.</param>
    /// <param name="training">A session of the training graph; the engine owns it from then on.</param>
    /// <param name="optimizer">The AdamW graph, serialized; null where the graph is only run.</param>
    /// <param name="accumulates">Updates may have more than one micro-batch.</param>
    /// <param name="threads">Threads of the small graphs; 0 is one for each core.</param>
    /// <param name="seed">Of the bits by which parameters and moments of bfloat16 are rounded.</param>
    /// <param name="offload">What lies on the host.</param>
    /// <param name="moments">What moments are kept in.</param>
    /// <param name="world">The ranks that share the update, each with an engine over its own graphs; null: there are none.</param>
    public TrainingEngine(TrainingInterface @interface, GraphSession training, byte[]? optimizer, bool accumulates, int threads, long seed = 0,
        Offload offload = Offload.None, MomentPrecision moments = MomentPrecision.States, World? world = null)
    {
        (_interface, _training, _world) = (@interface, training, world);
        var settings = training.Settings with { Optimization = InPlace, ProfilePrefix = null, Threads = threads };
        _updatesInBackward = training.Inputs.ContainsKey(OptimizerInBackward.PreviousNorm);
        Parameters = new ParameterBuffers(@interface.Parameters, training.Device, @interface.ParameterType, offload == Offload.States);
        _sumsInBackward = training.Inputs.ContainsKey(GradientGraphs.Keep);
        _gradients = new ParameterBuffers(_updatesInBackward || _sumsInBackward ? [] : @interface.Updated, training.Device, @interface.ParameterType);
        var updated = optimizer is null && !_updatesInBackward ? [] : @interface.Updated;
        var momentType = moments == MomentPrecision.Fp8 ? ElementType.UInt8 : @interface.ParameterType;
        var scaled = moments == MomentPrecision.Fp8 ? updated.Select(p => (p.Name, AdamW8Bit.ShapeOfScales(p.Shape))).ToList() : [];
        Moments = [.. new[] { AdamWGraph.FirstMoment, AdamWGraph.SecondMoment, AdamWGraph.FirstScales, AdamWGraph.SecondScales }.Select((prefix, i) =>
            (prefix, i < 2 ? new ParameterBuffers(updated, training.Device, momentType, offload != Offload.None)
                : new ParameterBuffers(scaled, training.Device, ElementType.Float, offload != Offload.None)))];
        _batch = new BatchBuffers(@interface.Batch, @interface.Rows, @interface.Sequence, training.Device);
        _batch.BindTo(training);
        _chosen = new ChosenRows(@interface, training.Device);
        foreach (var name in _chosen.Parameters)
            training.BindInput(Passes.Training.ChooseRows.Prefix + name, _chosen[name]);
        foreach (var (name, _) in @interface.Parameters)
            training.BindInput(name, Parameters[name]);
        foreach (var (name, _) in _gradients.Parameters)
            training.BindOutput(TrainingNames.GradientOf(name), _gradients[name]);
        Residuals = new ParameterBuffers(@interface.Residuals, training.Device);
        foreach (var (name, _) in @interface.Residuals)
        {
            training.BindInput(TrainingNames.ResidualPrefix + name, Residuals[name]);
            training.BindOutput(TrainingNames.UpdatedResidualPrefix + name, Residuals[name]);
        }
        training.BindOutput(TrainingNames.Loss, Scalar(TrainingNames.Loss));
        if (@interface.Drops)
        {
            training.BindInput(TrainingInterface.DropoutSeed, Scalar(TrainingInterface.DropoutSeed, ElementType.Int64));
            training.BindInput(TrainingInterface.DropoutStep, Scalar(TrainingInterface.DropoutStep, ElementType.Int64));
            _scalars[TrainingInterface.DropoutSeed].Write<long>([seed]);
            _scalars[TrainingInterface.DropoutStep].Write<long>([0]);
        }
        if (training.Inputs.ContainsKey(TrainingNames.GradientWeight))
            training.BindInput(TrainingNames.GradientWeight, Scalar(TrainingNames.GradientWeight));
        if (_updatesInBackward)
        {
            _optimizer = training;
            training.BindOutput(AdamWGraph.GradientNorm, Scalar(AdamWGraph.GradientNorm));
            BindUpdates(seed);
            return;
        }
        if (optimizer is null)
            return;

        if (accumulates)
        {
            _roundsSums = training.Inputs.ContainsKey(GradientGraphs.SumStep);
            _sums = new ParameterBuffers(@interface.Updated, training.Device, SumType);
            if (!_sumsInBackward)
                _accumulator = new GraphSession("accumulator", OnnxWriter.ToBytes(GradientGraphs.Accumulate(@interface.Updated, @interface.ParameterType)), settings);
            var summing = _accumulator ?? training;
            summing.BindInput(GradientGraphs.Keep, Scalar(GradientGraphs.Keep));
            summing.BindInput(GradientGraphs.Weight, Scalar(GradientGraphs.Weight));
            if (_roundsSums)
            {
                summing.BindInput(GradientGraphs.SumStep, Scalar(GradientGraphs.SumStep, ElementType.Int64));
                summing.BindInput(GradientGraphs.SumSeed, Scalar(AdamWGraph.Seed, ElementType.Int64));
            }
            foreach (var (name, _) in @interface.Trained)
            {
                summing.BindInput(GradientGraphs.Sum + name, _sums[name]);
                _accumulator?.BindInput(TrainingNames.GradientOf(name), _gradients[name]);
                summing.BindOutput(GradientGraphs.Updated + GradientGraphs.Sum + name, _sums[name]);
            }
        }
        var gradients = _sums ?? _gradients;
        var norm = GradientGraphs.Norm(@interface.Updated, accumulates ? SumType : @interface.ParameterType,
            world is null ? null : PartSums.Over(world.Plan));
        _norm = new GraphSession("gradient_norm", OnnxWriter.ToBytes(norm), settings);
        _optimizer = new GraphSession("optimizer_model.onnx", optimizer, settings);
        _norm.BindInput(AdamWGraph.GradientScale, Scalar(AdamWGraph.GradientScale));
        _norm.BindOutput(AdamWGraph.GradientNorm, Scalar(AdamWGraph.GradientNorm));
        foreach (var (name, _) in @interface.Trained)
        {
            _norm.BindInput(TrainingNames.GradientOf(name), gradients[name]);
            _optimizer.BindInput(TrainingNames.GradientOf(name), gradients[name]);
        }
        BindUpdates(seed);
    }

    /// <summary>What the training graph takes and gives.</summary>
    public TrainingInterface Interface => _interface;

    private ElementType SumType => _roundsSums ? ElementType.BFloat16 : ElementType.Float;

    public ParameterBuffers Parameters { get; }

    /// <summary>What is kept of moments, by the prefix of its names; scales are empty where moments are no codes.</summary>
    public IReadOnlyList<(string Prefix, ParameterBuffers Buffers)> Moments { get; }

    /// <summary>What rounding has left of the gradients that this rank sent in 8 bits, float32; none where it keeps nothing.</summary>
    public ParameterBuffers Residuals { get; }

    public ParameterBuffers FirstMoments => Moments[0].Buffers;

    public ParameterBuffers SecondMoments => Moments[1].Buffers;

    /// <summary>The rows that have a gradient, of parameters that have not all of it.</summary>
    public ChosenRows Chosen => _chosen;

    /// <summary>Chooses those rows by the present weights.</summary>
    public void ChooseRows() => _chosen.Choose(Parameters, FirstMoments, SecondMoments);

    /// <summary>The last update's gradient norm, by which the next one is clipped where the graph has the updates; 0 at first clips nothing.</summary>
    public double PreviousNorm { get; set; }

    /// <summary>Micro-batches of an update at the most, by which those of all updates are numbered for what is dropped or rounded; null: each has as many.</summary>
    public int? MostMicroBatches { get; set; }

    /// <summary>The parameters that checkpoints hold.</summary>
    public IReadOnlySet<string> Saved => field ??= _interface.Saved.Select(p => p.Name).ToHashSet(StringComparer.Ordinal);

    /// <summary>The gradients of the last run of the graph.</summary>
    public ParameterBuffers Gradients => _gradients;

    /// <summary>Gives the graph what it reads of frozen weights; owned from then on.</summary>
    public void Hold(HeldTensors held)
    {
        _held = held;
        foreach (var name in _interface.Held)
            _training.BindInput(name, held[name]);
    }

    /// <summary>Lets what the graph reads of weights be made in front of each update's first micro-batch.</summary>
    /// <param name="codes">A session of the graph that makes it (<see cref="Passes.Training.UpdateCodes"/>); owned from then on.</param>
    public void MakeCodesBy(GraphSession codes)
    {
        _codes = codes;
        foreach (var name in codes.Inputs.Keys)
            codes.BindInput(name, Parameters[name]);
        foreach (var (name, tensor) in codes.Outputs)
        {
            _made.Add(codes.NewTensor(tensor));
            codes.BindOutput(name, _made[^1].Value);
            _training.BindInput(name, _made[^1].Value);
        }
    }

    /// <summary>Gives the graph room for what it offloads, in page-locked memory of the host where it runs on a GPU.</summary>
    /// <param name="room">Its inputs for that, of fixed sizes (<see cref="Passes.Training.OffloadResiduals"/>).</param>
    public void OffloadTo(IEnumerable<Value> room)
    {
        foreach (var input in room)
        {
            _offloaded.Add(new DeviceTensor(_training.Device, input.Type, input.Shape!.Sizes, onHost: true));
            _training.BindInput(input.Name, _offloaded[^1].Value);
        }
    }

    /// <summary>Lets the graph keep codes in gradients' memory until it writes those.</summary>
    /// <param name="loans">Its outputs for that (<see cref="Passes.Training.LendGradients"/>).</param>
    public void Lend(IEnumerable<Passes.Training.Loan> loans)
    {
        foreach (var (codes, gradient, offset) in loans)
        {
            _lent.Add(_gradients.Lend(gradient[TrainingNames.GradientPrefix.Length..], codes.Type, codes.Shape!, offset));
            _training.BindOutput(codes.Name, _lent[^1]);
        }
    }

    /// <summary>Runs the graph on one micro-batch and returns its loss; the gradients lie in <see cref="Gradients"/>.</summary>
    /// <exception cref="HaloException">A value of the batch is out of bounds, or none of its labels counts.</exception>
    public double Run(MicroBatch batch)
    {
        _interface.Check(batch);
        _batch.Fill(batch);
        _codes?.Run();
        _training.Run();
        return Read(TrainingNames.Loss);
    }

    /// <summary>One update.</summary>
    /// <param name="batch">The micro-batches it is made of.</param>
    /// <param name="step">From 1, for the bias corrections.</param>
    /// <param name="learningRate">Of this update.</param>
    /// <param name="meanwhile">Done once while a GPU computes, before its results are waited for.</param>
    /// <exception cref="TrainingFailedException">The loss or the gradient is not finite; nothing was updated.</exception>
    public StepResult Step(IReadOnlyList<MicroBatch> batch, long step, double learningRate, Action? meanwhile = null)
    {
        if (_optimizer is null)
            throw new InvalidOperationException("the engine was made without an optimizer");
        if (_norm is null)
            return StepInBackward(batch, step, learningRate);
        var counted = batch.Sum(m => (long)m.CountedTokens);
        double loss = 0;
        _codes?.Run();
        long? running = null; // tokens of the loss that is read behind what is launched next: a GPU does not wait
        // Alone, a mean over nothing is 0/0, and gradients are weighted where they are added up; among ranks, before they are summed over them.
        foreach (var (index, (micro, tokens)) in _world is { } all ? RankBatch.Of(batch, all.Rank.Index, all.Rank.Count)
                .Select((m, round) => ((round * all.Rank.Count) + all.Rank.Index, m))
            : batch.Index().Where(m => !m.Item.Empty).Select(m => (m.Index, (m.Item, (long)m.Item.CountedTokens))))
        {
            AddLoss();
            _batch.Fill(micro);
            var number = ((step - 1) * (MostMicroBatches ?? batch.Count)) + index;
            if (_interface.Drops)
                _scalars[TrainingInterface.DropoutStep].Write<long>([number]);
            if (_roundsSums)
                _scalars[GradientGraphs.SumStep].Write<long>([number]);
            if (_world is not null)
                Write(TrainingNames.GradientWeight, (double)tokens / counted);
            if (_sums is not null)
            {
                Write(GradientGraphs.Keep, running is null ? 0 : 1);
                Write(GradientGraphs.Weight, _world is null ? micro.CountedTokens : 1);
            }
            _training.Run();
            _accumulator?.Run();
            running = tokens;
        }
        Write(AdamWGraph.GradientScale, _sums is null || _world is not null ? 1 : 1.0 / counted);
        _norm.Run();
        Write(AdamWGraph.LearningRate, learningRate);
        _scalars[AdamWGraph.Step].Write<long>([step]);
        meanwhile?.Invoke();
        AddLoss();
        if (_world is not null)
            loss = OfAllRanks(loss, step);
        var norm = Read(AdamWGraph.GradientNorm);
        if (!double.IsFinite(norm))
            throw Agreed(NotFinite("gradient norm", norm, step));
        _optimizer.Run();
        return new StepResult(loss, norm, counted, batch.Sum(m => (long)m.Tokens));

        void AddLoss()
        {
            if (running is not { } tokens)
                return;
            var mean = Read(TrainingNames.Loss);
            loss += double.IsFinite(mean) || _world is not null ? mean * tokens / counted : throw NotFinite("loss", mean, step);
        }
    }

    private StepResult StepInBackward(IReadOnlyList<MicroBatch> batch, long step, double learningRate)
    {
        var counted = batch.Sum(m => (long)m.CountedTokens);
        var (micro, tokens) = _world is { Rank: var rank } ? RankBatch.Of(batch, rank.Index, rank.Count).Single() : (batch.Single(m => !m.Empty), counted);
        _batch.Fill(micro);
        if (_interface.Drops)
            _scalars[TrainingInterface.DropoutStep].Write<long>([((step - 1) * (_world?.Rank.Count ?? 1)) + (_world?.Rank.Index ?? 0)]);
        if (_world is not null)
            Write(TrainingNames.GradientWeight, (double)tokens / counted);
        Write(AdamWGraph.GradientScale, 1);
        Write(AdamWGraph.LearningRate, learningRate);
        Write(OptimizerInBackward.PreviousNorm, PreviousNorm);
        _scalars[AdamWGraph.Step].Write<long>([step]);
        _training.Run();
        var loss = Read(TrainingNames.Loss);
        if (_world is not null)
            loss = OfAllRanks(loss * tokens / counted, step);
        var norm = Read(AdamWGraph.GradientNorm);
        foreach (var (what, value) in new[] { ("loss", loss), ("gradient norm", norm) })
        {
            if (!double.IsFinite(value))
                throw Agreed(NotFinite(what, value, step));
        }
        PreviousNorm = norm;
        return new StepResult(loss, norm, counted, batch.Sum(m => (long)m.Tokens));
    }

    /// <summary>The sum of the ranks' shares; where one is not finite all stop, at the same step.</summary>
    private double OfAllRanks(double own, long step)
    {
        _world!.Communicator.ThrowIfFailed();
        var shares = _world.Gather($"loss of step {step}", own);
        return Array.FindIndex(shares, s => !double.IsFinite(s)) is var rank and >= 0 ? throw Agreed(NotFinite("loss", shares[rank], step, rank)) : shares.Sum();
    }

    /// <summary>All ranks have found the same: one says it.</summary>
    private Exception Agreed(Exception found) => _world?.Agreed(found) ?? found;

    public void Dispose()
    {
        foreach (var session in new[] { _training, _norm, _updatesInBackward ? null : _optimizer, _accumulator, _codes })
            session?.Dispose();
        foreach (var lent in _lent)
            lent.Dispose();
        foreach (var buffers in new[] { Parameters, _gradients, _sums, Residuals }.Concat(Moments.Select(m => m.Buffers)))
            buffers?.Dispose();
        foreach (var tensor in _scalars.Values.Concat(_offloaded).Concat(_made))
            tensor.Dispose();
        _batch.Dispose();
        _chosen.Dispose();
        _held?.Dispose();
    }

    private TrainingFailedException NotFinite(string what, double value, long step, int? rank = null) => new(
        $"train: step {step}, {(rank is { } other ? $"rank {other}" : _training.Settings.Rank)}: expected a finite {what}, found {value}. "
            + (_updatesInBackward ? "Parameters were updated by it, as optimizer_in_backward does: the last checkpoint stands. Lower"
                : "Nothing was updated; lower") + " the learning rate, or try a scheme with more rotations.");

    /// <summary>Binds what updates read and write, parameters and moments in place.</summary>
    private void BindUpdates(long seed)
    {
        var norm = _updatesInBackward ? OptimizerInBackward.PreviousNorm : AdamWGraph.GradientNorm;
        foreach (var name in new[] { AdamWGraph.LearningRate, AdamWGraph.GradientScale, norm })
        {
            if (_optimizer!.Inputs.ContainsKey(name))
                _optimizer.BindInput(name, Scalar(name));
        }
        _optimizer!.BindInput(AdamWGraph.Step, Scalar(AdamWGraph.Step, ElementType.Int64));
        if (_optimizer.Inputs.ContainsKey(AdamWGraph.Seed))
        {
            _optimizer.BindInput(AdamWGraph.Seed, Scalar(AdamWGraph.Seed, ElementType.Int64));
            _scalars[AdamWGraph.Seed].Write<long>([seed]);
        }
        foreach (var name in _chosen.Parameters)
            _optimizer.BindInput(Passes.Training.ChooseRows.Prefix + name, _chosen[name]);
        foreach (var (name, _) in _interface.Trained)
        {
            BindInPlace(_optimizer, name, Parameters[name]);
            foreach (var (prefix, buffers) in Moments.Where(m => m.Buffers.Parameters.Count > 0))
                BindInPlace(_optimizer, prefix + name, buffers[name]);
        }
    }

    private static void BindInPlace(GraphSession optimizer, string name, OrtValue value)
    {
        optimizer.BindInput(name, value);
        optimizer.BindOutput(AdamWGraph.Updated + name, value);
    }

    private OrtValue Scalar(string name, ElementType type = ElementType.Float)
    {
        if (!_scalars.TryGetValue(name, out var tensor))
            _scalars.Add(name, tensor = new DeviceTensor(_training.Device, type, []));
        return tensor.Value;
    }

    private double Read(string name) => _scalars[name].ToArray<float>()[0];

    private void Write(string name, double value) => _scalars[name].Write<float>([(float)value]);
}
