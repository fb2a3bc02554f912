using System.Security.Cryptography;
using System.Text;
using Halo.Ir;

namespace Halo.Analysis;

/// <summary>Tells values that are computed twice from the same (activation checkpointing) as one.</summary>
/// <remarks>
/// A com.halo.Barrier gives what it reads; two nodes of one operator, attributes and inputs give the same. Graphs without barriers repeat nothing.
/// </remarks>
internal sealed class RepeatedValues
{
    private readonly Dictionary<Value, Value> _first = [];

    public RepeatedValues(Graph graph)
    {
        if (!graph.Nodes.Any(OperandTrace.IsBarrier))
            return;
        var (nodes, ids) = (new Dictionary<string, Node>(StringComparer.Ordinal), new Dictionary<Value, int>());
        foreach (var node in graph.Nodes)
        {
            if (OperandTrace.IsBarrier(node))
                _first[node.Output] = Of(node.Inputs[0]!);
            else if (!node.Subgraphs.Any() && !nodes.TryAdd(Key(node, ids), node))
                Pair(node, nodes[Key(node, ids)]);
        }
    }

    /// <summary>The value that was computed first of those equal to <paramref name="value"/>.</summary>
    public Value Of(Value value) => _first.GetValueOrDefault(value, value);

    private void Pair(Node node, Node first)
    {
        foreach (var (again, output) in node.Outputs.Zip(first.Outputs))
            _first[again] = output;
    }

    private string Key(Node node, Dictionary<Value, int> ids)
    {
        var key = new StringBuilder($"{node.Domain}.{node.OpType}.{node.Overload}({node.Outputs.Count})");
        foreach (var input in node.Inputs.Select(v => v is null ? null : Of(v)))
            key.Append(' ').Append(input is null ? -1 : ids.TryGetValue(input, out var id) ? id : ids[input] = ids.Count);
        foreach (var attribute in node.Attributes.Values)
            key.Append('\n').Append(attribute.Name).Append('=').Append(Text(attribute.Content));
        return key.ToString();
    }

    private static string Text(object? content) => content switch
    {
        Tensor tensor => $"{tensor} {(tensor.Type == ElementType.String ? "" : Convert.ToHexString(SHA256.HashData(tensor.ToBytes())))}",
        float value => BitConverter.SingleToInt32Bits(value).ToString(),
        string text => $"{text.Length}:{text}",
        System.Collections.IEnumerable list => string.Join(",", list.Cast<object>().Select(Text)),
        _ => $"{content}",
    };
}
