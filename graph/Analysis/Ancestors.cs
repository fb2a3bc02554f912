using Halo.Ir;

namespace Halo.Analysis;

/// <summary>The nodes that values are computed by.</summary>
internal static class Ancestors
{
    /// <summary>The producers of <paramref name="values"/>, of what these read, and so on; subgraphs count as what they read from outside.</summary>
    public static HashSet<Node> Of(params IEnumerable<Value> values)
    {
        var ancestors = new HashSet<Node>();
        var pending = new Stack<Value>(values);
        while (pending.TryPop(out var value))
        {
            if (value.Producer is not { } node || !ancestors.Add(node))
                continue;
            foreach (var input in Graph.ReadBy(node))
                pending.Push(input);
        }
        return ancestors;
    }
}
