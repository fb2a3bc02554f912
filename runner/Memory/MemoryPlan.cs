using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Models.Optimizer;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Memory;

/// <summary>What training takes on its device, known before anything is allocated.</summary>
/// <remarks>
/// Held for the whole run: parameters, gradients, their sums over micro-batches, moments, a batch, the graphs' constants. Graphs run one after the other,
/// so that the most of one of them comes on top. Not counted: what the driver takes for itself, and the host's own memory.
/// </remarks>
/// <param name="Held">Held for the whole run, each class.</param>
/// <param name="Graphs">Training, evaluation, optimizer: those that there are.</param>
internal sealed record MemoryPlan(IReadOnlyList<MemoryPart> Held, IReadOnlyList<GraphMemory> Graphs)
{
    /// <summary>In page-locked memory of the host, and not counted; each class.</summary>
    public IReadOnlyList<MemoryPart> OnHost { get; init; } = [];

    /// <summary>Of codes that lie in the memory of gradients until those are written (<see cref="LendGradients"/>), and are not counted by themselves.</summary>
    public long LentBytes { get; init; }

    /// <summary>Of a class that is held on the device or the host.</summary>
    internal long BytesOf(string name) => Held.Concat(OnHost).Where(p => p.Name == name).Sum(p => p.SizeBytes);

    public long HeldBytes => Held.Sum(p => p.SizeBytes);

    /// <summary>The graph that takes most.</summary>
    public GraphMemory Largest => Graphs.MaxBy(g => g.PeakBytes)!;

    /// <summary>Graphs run in the same memory, as on a GPU; else each session keeps its own.</summary>
    public bool SharesMemory { get; init; }

    /// <summary>The same with some classes on the host.</summary>
    public MemoryPlan With(Offload offload)
    {
        string[] moved = offload switch
        {
            Offload.None => [],
            Offload.Moments => [Moments],
            _ => [Moments, Parameters],
        };
        return this with { Held = [.. Held.Where(p => !moved.Contains(p.Name))], OnHost = [.. OnHost, .. Held.Where(p => moved.Contains(p.Name))] };
    }

    /// <summary>The most at once.</summary>
    public long PeakBytes => HeldBytes + (SharesMemory ? Largest.PeakBytes : Graphs.Sum(g => g.PeakBytes));

    /// <param name="interface">The training graph's.</param>
    /// <param name="training">The graph that is run, with or without sums or updates; shapes are inferred.</param>
    /// <param name="evaluation">The same without gradients; null where nothing is evaluated.</param>
    /// <param name="optimizer">The update; null where it is not at hand: <paramref name="moments"/> are counted then.</param>
    /// <param name="updates">Parameters are updated.</param>
    /// <param name="accumulates">An update has several micro-batches.</param>
    /// <param name="device">What runs the graphs.</param>
    /// <param name="attention">Whose kernels run attention on a GPU.</param>
    /// <param name="moments">What moments are kept in.</param>
    /// <param name="codes">What makes codes of weights once an update; null: the training graph does.</param>
    public static MemoryPlan Of(TrainingInterface @interface, Graph training, Graph? evaluation, Graph? optimizer, bool updates, bool accumulates,
        GraphDevice device, AttentionKernels attention, MomentPrecision moments = MomentPrecision.States, Graph? codes = null)
    {
        var kernels = KernelsOf(device, attention);
        var isGpu = device == GraphDevice.Cuda;
        var offloaded = OffloadResiduals.RoomOf(training).ToList();
        string[]? hidden = isGpu ? [.. @interface.BatchNames, .. offloaded.Select(room => room.Name)] : null;
        var graphs = new List<GraphMemory> { GraphMemory.Of("training", training, kernels, hidden: hidden) };
        if (evaluation is not null)
            graphs.Add(GraphMemory.Of("evaluation", evaluation, kernels, o => o.Name == TrainingNames.Loss, hidden));
        var held = new List<MemoryPart>
        {
            Part(Parameters, Inputs(training, @interface.Parameters.Select(p => p.Name))),
            Part(FrozenCodes, Inputs(training, @interface.Held)),
            Part(WeightCodes, training.Inputs.Where(UpdateCodes.IsMade)),
            Part("gradients", training.Outputs.Where(o => o.Name.StartsWith(TrainingNames.GradientPrefix, StringComparison.Ordinal))),
        };
        var sumsInBackward = training.Inputs.Where(i => i.Name.StartsWith(GradientGraphs.Sum, StringComparison.Ordinal)).ToList();
        if (sumsInBackward.Count > 0)
            held.Add(Part("sums of gradients", sumsInBackward));
        if (training.Inputs.Any(TrainingNames.IsResidual))
            held.Add(Part("what rounding leaves of gradients", training.Inputs.Where(TrainingNames.IsResidual)));
        var inBackward = training.Inputs.Any(i => i.Name == OptimizerInBackward.PreviousNorm);
        if (inBackward)
            held.Add(Part(Moments, training.Inputs.Where(IsMoment)));
        if (updates && !inBackward)
        {
            var sums = GradientGraphs.Accumulate(@interface.Updated, @interface.ParameterType).Graph;
            var summed = accumulates ? (sumsInBackward.FirstOrDefault()?.Type ?? ElementType.Float) : @interface.ParameterType;
            graphs.Add(GraphMemory.Of("gradient norm", GradientGraphs.Norm(@interface.Updated, summed).Graph, kernels));
            if (optimizer is not null)
                graphs.Add(GraphMemory.Of("optimizer", optimizer, kernels));
            if (accumulates && sumsInBackward.Count == 0)
            {
                graphs.Add(GraphMemory.Of("sums of gradients", sums, kernels));
                held.Add(Part("sums of gradients", Inputs(sums, @interface.Updated.Select(p => GradientGraphs.Sum + p.Name))));
            }
            held.Add(optimizer is null ? new MemoryPart(Moments, MomentBytes(@interface, moments))
                : Part(Moments, optimizer.Inputs.Where(IsMoment)));
        }
        if (codes is not null)
            graphs.Add(GraphMemory.Of(WeightCodes, codes, kernels));
        held.RemoveAll(p => p is { Name: FrozenCodes or WeightCodes, SizeBytes: 0 });
        var batches = evaluation is null ? 1 : 2;
        held.Add(new MemoryPart("constants, batches and scalars", graphs.Sum(g => g.ConstantBytes) + (ScalarCount * RunMemory.Alignment)
            + (training.Inputs.Any(i => i.Name == GradientGraphs.SumStep) ? RunMemory.Alignment : 0) + (batches * Inputs(training, @interface.Batch.Select(b => b.Name)).Sum(Rounded))));
        return new MemoryPlan(held, [.. graphs.Select(g => g with { IsPacked = !isGpu })])
        {
            SharesMemory = isGpu,
            LentBytes = LendGradients.LoansOf(training).Sum(loan => Rounded(loan.Codes)),
            OnHost = offloaded.Count == 0 ? [] : [Part(Residuals, offloaded)],
        };
    }

    private static bool IsMoment(Value input) => MomentPrefixes.Any(prefix => input.Name.StartsWith(prefix, StringComparison.Ordinal));

    private static readonly string[] MomentPrefixes = [AdamWGraph.FirstMoment, AdamWGraph.SecondMoment, AdamWGraph.FirstScales, AdamWGraph.SecondScales];

    /// <summary>Both moments of the trained parameters.</summary>
    private static long MomentBytes(TrainingInterface @interface, MomentPrecision moments) => 2 * @interface.Updated.Sum(p =>
    {
        var count = p.Shape.ElementCount!.Value;
        return moments == MomentPrecision.States ? RunMemory.Rounded(@interface.ParameterType.SizeBytes(count))
            : RunMemory.Rounded(count) + RunMemory.Rounded(4 * AdamW8Bit.ShapeOfScales(p.Shape).ElementCount!.Value);
    });

    private static IKernelMemory KernelsOf(GraphDevice device, AttentionKernels attention) =>
        device == GraphDevice.Cuda ? new GpuKernelMemory(attention != AttentionKernels.Halo) : new CpuKernelMemory();

    internal const string Parameters = "parameters", Moments = "moments", Residuals = "residuals";

    private const string FrozenCodes = "codes of frozen weights", WeightCodes = "codes of weights";

    /// <summary>Loss, norm, factors, learning rate, step: a tensor each.</summary>
    private const int ScalarCount = 8;

    private static IEnumerable<Value> Inputs(Graph graph, IEnumerable<string> names)
    {
        var wanted = names.ToHashSet(StringComparer.Ordinal);
        return graph.Inputs.Where(i => wanted.Contains(i.Name));
    }

    private static MemoryPart Part(string name, IEnumerable<Value> values) => new(name, values.Sum(Rounded));

    private static long Rounded(Value value) => RunMemory.Rounded(Buffers.Bytes(value) ?? 0);
}
