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

/// <summary>Runs the training graph over micro-batches, sums their gradients, and updates parameters and moments in place.</summary>
/// <remarks>
/// Parameters, gradients, sums and moments are bound once. The loss and the gradient norm are checked before the optimizer runs: a
/// non-finite one stops the run with every parameter as it was. A graph that has the updates itself (<see cref="OptimizerInBackward"/>) takes one
/// micro-batch, leaves no gradients, and is found non-finite only when parameters are so: the last checkpoint stands then. A graph that has the sums
/// (<see cref="GradientGraphs.AddSumsTo"/>) leaves no gradients either.
/// </remarks>
internal sealed partial class TrainingEngine : IDisposable
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
}
