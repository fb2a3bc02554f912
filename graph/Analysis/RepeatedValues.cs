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
            else if (!node.Subgraphs.Any() && Key(node) is var key && !nodes.TryAdd(key, node))
                Pair(node, nodes[key]);
        }

        // Codes of one tensor are the same, whether they are given in one order or in both.
        string Key(Node node) => node.Facts.Role is OperatorRole.Codes { RotatedBy: null } codes ? $"codes {codes.FormatOf(node)} {Of(node.Inputs[0]!).Name}" : keys.Of(node, Of);
    }

    /// <summary>The value that was computed first of those equal to <paramref name="value"/>.</summary>
    public Value Of(Value value) => _first.GetValueOrDefault(value, value);

    private void Pair(Node node, Node first)
    {
        foreach (var (again, output) in node.Outputs.Zip(first.Outputs))
            _first[again] = output;
    }
}
