using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>Removes what led to a replaced value and to nothing else.</summary>
internal static class DeadNodes
{
    public static void Sweep(Graph graph, IEnumerable<Value> values)
    {
        var pending = new Stack<Value>(values);
        while (pending.TryPop(out var value))
        {
            if (value.Producer is not { } node || node.Graph != graph || node.Subgraphs.Any() || node.Outputs.Any(o => o.Uses.Count > 0 || o.IsGraphOutput))
                continue;
            foreach (var input in node.Inputs.OfType<Value>().ToList())
                pending.Push(input);
            graph.Remove(node);
        }
    }
}
