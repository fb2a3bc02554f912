using Halo.Analysis;
using Halo.Ir;

namespace Halo.Memory;

/// <summary>Keeps the number of rows of a batch from ONNX Runtime, which then plans no reuse of what has it.</summary>
/// <remarks>
/// Its planner gives a value the buffer of an earlier one of the same known sizes and holds the buffer in between, so that one lies idle for each of the
/// sizes that a model has. Values whose first size is not known before they are computed are taken and freed one by one, in an arena that gives any size
/// what another left; a value that overwrites one which nobody reads any more shares a name for it, so that it still does. Bits and order of the run stay.
/// </remarks>
internal static class HiddenBatch
{
    /// <summary>Hides it in a graph of fixed sizes, in place.</summary>
    /// <param name="graph">A training or evaluation graph; sizes of values that nodes compute are inferred anew.</param>
    /// <param name="batch">Names of the inputs whose first axis is the batch.</param>
    /// <param name="kernels">Of the runtime: what one may overwrite keeps a size in common with it, under a name.</param>
    public static void In(Graph graph, IEnumerable<string> batch, IKernelMemory kernels)
    {
        ShapeInference.Run(graph);
        var names = batch.ToHashSet(StringComparer.Ordinal);
        var inputs = graph.Inputs.Where(i => names.Contains(i.Name) && i.Shape is { Rank: > 0 }).ToList();
        var reached = new HashSet<Value>(inputs);
        foreach (var node in graph.Nodes.ToList())
        {
            if (!Graph.ReadBy(node).Any(reached.Contains))
                continue;
            reached.UnionWith(node.Outputs);
            if (node.Is("Reshape") && node.Inputs[1]!.Integers() is { Length: > 0 } sizes && Freed(node, sizes) is { } freed)
                node.ReplaceInput(1, graph.AddInitializer(graph.FreeName($"{node.Name}/sizes"), Tensor.Int64s(freed)));
        }
        var hidden = reached.Where(v => v.Producer is not null && (!v.IsGraphOutput || v.Uses.Count > 0)).ToDictionary(v => v, v => v.Shape);
        foreach (var input in inputs)
            input.Shape = new Shape([Dim.Unknown, .. input.Shape!.Skip(1)]);
        foreach (var value in hidden.Keys)
            value.Shape = null;
        ShapeInference.Run(graph);
        var (places, roots, lastReads) = ReadsOf(graph, kernels);
        foreach (var value in graph.Nodes.SelectMany(n => n.Outputs).Where(hidden.ContainsKey))
            value.Shape = Named(value);

        Shape? Named(Value value)
        {
            if (value.Shape is not { IsStatic: false } shape || hidden[value] is not { } sizes)
                return value.Shape;
            var node = value.Producer!;
            var overwritten = kernels.MayOverwrite(node, value.ProducerIndex).Select(i => node.Input(i)).OfType<Value>()
                .FirstOrDefault(input => input.Type.Bits() == value.Type.Bits() && hidden.TryGetValue(input, out var own) && sizes.Equals(own)
                    && lastReads.GetValueOrDefault(roots.GetValueOrDefault(input, input)) <= places.GetValueOrDefault(node));
            return overwritten?.Shape ?? new Shape(shape.Select((d, axis) => d.IsKnown ? d : Dim.Named($"{value.Name}.{axis}")));
        }
    }

    /// <summary>The places of nodes in the run, what a view shows, and where each of those is read last, itself or through a view.</summary>
    private static (Dictionary<Node, int> Places, Dictionary<Value, Value> Roots, Dictionary<Value, int> LastReads) ReadsOf(Graph graph, IKernelMemory kernels)
    {
        var (places, roots, lastReads) = (new Dictionary<Node, int>(), new Dictionary<Value, Value>(), new Dictionary<Value, int>());
        foreach (var (place, node) in RunOrder.Of(graph).Index())
        {
            places.Add(node, place);
            if (kernels.IsView(node) && node.Inputs[0] is { } shown)
                roots.Add(node.Outputs[0], roots.GetValueOrDefault(shown, shown));
            foreach (var read in Graph.ReadBy(node))
                lastReads[roots.GetValueOrDefault(read, read)] = place;
        }
        return (places, roots, lastReads);
    }

    /// <summary>The shapes of a graph's values as the runtime knows them behind <see cref="In"/>, before it runs; the graph stays as it is.</summary>
    public static IReadOnlyDictionary<Value, Shape?> KnownIn(Graph graph, IEnumerable<string> batch, IKernelMemory kernels)
    {
        var hidden = graph.Model.Clone().Graph;
        In(hidden, batch, kernels);
        return graph.Values.Values.ToDictionary(v => v, v => hidden.Values[v.Name].Shape);
    }

    /// <summary>The same sizes with the first one left to be found; null where it is so, or cannot be.</summary>
    private static long[]? Freed(Node node, long[] sizes) => sizes[0] is -1 or 0 ? null
        : !sizes.Contains(-1) ? [-1, .. sizes[1..]]
        : node.Int("allowzero", 0) == 0 && node.Inputs[0]!.Shape is { Rank: > 0 } from && from[0] == sizes[0] ? [0, .. sizes[1..]] : null;
}
