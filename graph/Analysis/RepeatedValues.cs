using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>Tells values that are computed twice from the same (activation checkpointing) as one.</summary>
/// <remarks>
/// What orders execution gives what it reads; two nodes of one operator, attributes and inputs give the same. Graphs that order nothing repeat nothing.
/// </remarks>
internal sealed class RepeatedValues
{
    private readonly Dictionary<Value, Value> _first = [];

    public RepeatedValues(Graph graph)
    {
        if (!graph.Nodes.Any(n => n.Facts.Role is OperatorRole.Ordering))
            return;
        var (nodes, keys) = (new Dictionary<string, Node>(StringComparer.Ordinal), new NodeKeys());
        foreach (var node in graph.Nodes)
        {
            if (node.Facts.Role is OperatorRole.Ordering)
                _first[node.Output] = Of(node.Inputs[0]!);
            else if (!node.Subgraphs.Any() && keys.Of(node, Of) is var key && !nodes.TryAdd(key, node))
                Pair(node, nodes[key]);
        }
    }

    /// <summary>The value that was computed first of those equal to <paramref name="value"/>.</summary>
    public Value Of(Value value) => _first.GetValueOrDefault(value, value);

    private void Pair(Node node, Node first)
    {
        foreach (var (again, output) in node.Outputs.Zip(first.Outputs))
            _first[again] = output;
    }
}
