using Halo.Ir;

namespace Halo.Passes.Training.Recomputation;

/// <summary>The nodes that the loss does not depend on, by the first layer whose activations they need.</summary>
/// <remarks>
/// The gradient goes from the last layer to the first. A node belongs to the least layer among the activations it reads and the layers of
/// the gradients it reads; what hangs on none (constants) belongs to no layer. A node that reads one gradient and no activation, such as a view of it
/// or its product with a weight, goes with those who read it, unless it makes less of more: so what comes into a layer is the gradient at its border.
/// </remarks>
internal sealed class BackwardLayers
{
    private const int None = int.MaxValue;

    private readonly Dictionary<Node, int> _layers = [];
    private readonly Dictionary<int, List<Node>> _nodes = [];

    public BackwardLayers(Graph graph, ForwardStream stream)
    {
        var backward = graph.Nodes.Where(n => !stream.Forward.Contains(n)).ToList();
        foreach (var node in backward)
            _layers.Add(node, Graph.ReadBy(node).Select(v => stream.Contains(v) ? stream.LayerOf(v) : LayerOf(v)).DefaultIfEmpty(None).Min());
        foreach (var node in Enumerable.Reverse(backward))
        {
            var readers = node.Outputs.SelectMany(o => o.Uses).Select(u => _layers.GetValueOrDefault(u.Node, None)).Where(l => l != None).ToList();
            if (readers.Count > 0 && !node.Outputs.Any(o => o.IsGraphOutput) && ReadsOneGradient(node, stream))
                _layers[node] = Math.Min(_layers[node], readers.Max());
        }
        foreach (var node in backward)
        {
            if (!_nodes.TryGetValue(_layers[node], out var nodes))
                _nodes.Add(_layers[node], nodes = []);
            nodes.Add(node);
        }
    }

    /// <summary>The nodes of a layer, in the order of the graph.</summary>
    public IReadOnlyList<Node> Nodes(int layer) => _nodes.GetValueOrDefault(layer) ?? [];

    /// <summary>The gradients that come into a layer from those behind it.</summary>
    public IReadOnlyList<Value> Incoming(int layer) =>
        [.. Nodes(layer).SelectMany(Graph.ReadBy).Where(v => v.Type.IsFloat() && LayerOf(v) is var l && l > layer && l != None).Distinct()];

    /// <summary>
    /// What the layers from <paramref name="first"/> on, and before <paramref name="end"/>, compute for others: outputs, and what a layer in front reads.
    /// </summary>
    public IReadOnlyList<Value> Finished(int first, int end) =>
    [
        .. _nodes.Where(n => n.Key >= first && n.Key < end).OrderBy(n => n.Key).SelectMany(n => n.Value).SelectMany(n => n.Outputs)
            .Where(v => v.Type.IsFloat() && v.Shape?.ElementCount != 0
                && (v.IsGraphOutput || v.Uses.Any(u => _layers.GetValueOrDefault(u.Node, None) < first))),
    ];

    private bool ReadsOneGradient(Node node, ForwardStream stream)
    {
        var gradients = Graph.ReadBy(node).Where(v => LayerOf(v) != None).ToList();
        return !Graph.ReadBy(node).Any(stream.Contains) && gradients.Select(v => v.Producer).Distinct().Count() == 1
            && gradients.Max(v => v.Shape?.ElementCount) <= node.Outputs.Max(o => o.Shape?.ElementCount);
    }

    private int LayerOf(Value value) => value.Producer is { } node ? _layers.GetValueOrDefault(node, None) : None;
}
