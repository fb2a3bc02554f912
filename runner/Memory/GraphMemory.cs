using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Operators;
using Halo.Passes.Training;

namespace Halo.Runner.Memory;

/// <summary>What a graph takes while it runs, besides what it is bound to.</summary>
/// <param name="Name">Of the graph, such as <c>training</c>.</param>
/// <param name="Run">One run.</param>
/// <param name="ConstantBytes">Of its initializers, which a session holds.</param>
/// <param name="Parts">What <see cref="RunMemory.LiveBytes"/> are made of, largest first.</param>
internal sealed record GraphMemory(string Name, RunMemory Run, long ConstantBytes, IReadOnlyList<MemoryPart> Parts)
{
    /// <summary>The runtime puts a run's buffers into one block, from the second run on.</summary>
    public bool IsPacked { get; init; }

    public long PeakBytes => IsPacked ? Run.PeakBytes : Run.LiveBytes;

    /// <summary>The node at which most is taken.</summary>
    public Node? PeakNode => Run.Buffers.Order.ElementAtOrDefault(Run.Peak);

    /// <param name="name">Of the graph.</param>
    /// <param name="graph">The graph; its shapes are inferred.</param>
    /// <param name="kernels">Of what runs it.</param>
    /// <param name="isBound">Whether an output is bound; null: all are.</param>
    /// <param name="hidden">Inputs whose batch the session keeps from the runtime (<see cref="HiddenBatch"/>); null: none.</param>
    public static GraphMemory Of(string name, Graph graph, IKernelMemory kernels, Func<Value, bool>? isBound = null, IEnumerable<string>? hidden = null)
    {
        ShapeInference.Run(graph);
        var run = RunMemory.Of(Buffers.Of(graph, kernels, isBound, hidden is null ? null : HiddenBatch.KnownIn(graph, hidden, kernels)), kernels);
        var constants = graph.Initializers.Where(i => !i.IsGraphInput).Sum(i => RunMemory.Rounded(Buffers.Bytes(i) ?? 0));
        return new GraphMemory(name, run, constants, [.. PartsOf(graph, run, kernels).OrderByDescending(p => p.SizeBytes)]);
    }

    private static IEnumerable<MemoryPart> PartsOf(Graph graph, RunMemory run, IKernelMemory kernels)
    {
        if (run.Buffers.Order.Count == 0)
            return [];
        var forward = Forward(graph);
        var ofData = new HashSet<Value>(graph.Inputs.Where(i => !i.Type.IsFloat() && !FrozenBase.IsHeld(i)));
        foreach (var node in run.Buffers.Order.Where(n => Graph.ReadBy(n).Any(ofData.Contains)))
            ofData.UnionWith(node.Outputs);
        var parts = run.At(run.Peak).Select(b => new MemoryPart(Class(b), RunMemory.Rounded(b.SizeBytes)))
            .Append(new MemoryPart("work memory of kernels", kernels.WorkBytes(run.Buffers.Order[run.Peak])));
        return parts.GroupBy(p => p.Name).Select(g => new MemoryPart(g.Key, g.Sum(p => p.SizeBytes))).Where(p => p.SizeBytes > 0);

        string Class(Halo.Memory.Buffer buffer)
        {
            if (run.Buffers.ValueIn(buffer, run.Peak) is not { } value)
                return "kept for later values of the same sizes";
            if (value.IsGraphOutput)
                return "outputs that nobody takes";
            if (buffer.Values.Any(v => v.Uses.Any(u => u is { Index: 1, Node.OpType: nameof(AdamW) or nameof(AdamW8Bit) })))
                return "gradients that wait for their update";
            if (buffer.Values.Any(v => v.Uses.Any(u => u is { Index: 1, Node.OpType: nameof(WeightedSum) })))
                return "gradients that wait for their sum";
            if (!ofData.Contains(value))
                return value.Type.Bits() <= 8 ? "codes of weights" : "weights in another type or order";
            if (!forward.Contains(value.Producer!))
                return "gradients of activations";
            return value.Uses.All(u => forward.Contains(u.Node)) ? "activations on their way"
                : value.Type.Bits() <= 8 ? "saved codes" : $"saved by {Source(value)}";
        }
    }

    /// <summary>The operator that computed what a view shows.</summary>
    private static string Source(Value value)
    {
        var node = value.Producer!;
        while (node.Facts.Role is OperatorRole.View && node.Inputs[0]?.Producer is { } before)
            node = before;
        return node.OpType;
    }

    /// <summary>The nodes that the loss, or whatever the graph gives, is computed by.</summary>
    private static HashSet<Node> Forward(Graph graph)
    {
        var roots = graph.Outputs.Where(o => o.Name == TrainingNames.Loss).ToList();
        return Ancestors.Of(roots.Count > 0 ? roots : graph.Outputs);
    }
}
