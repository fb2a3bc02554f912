using Halo.Ir;

namespace Halo.Memory;

/// <summary>The order in which ONNX Runtime runs a graph's nodes, which is not that of the file.</summary>
/// <remarks>
/// It walks from the nodes that nobody reads, the last of the file first, through their producers, the last of the file first, and runs a node behind all
/// of its own. So where a node stands in the file says which of several branches goes first, and <c>order-nodes</c> can choose.
/// </remarks>
internal static class RunOrder
{
    /// <summary>The nodes as they run. Constants are no nodes to ONNX Runtime and left out.</summary>
    public static IReadOnlyList<Node> Of(Graph graph) => Of([.. graph.Nodes]);

    /// <param name="file">All nodes, as they stand in the file.</param>
    public static IReadOnlyList<Node> Of(IReadOnlyList<Node> file)
    {
        var places = new Dictionary<Node, int>(file.Count);
        foreach (var node in file.Where(n => !n.Is("Constant")))
            places.Add(node, places.Count);
        var order = new List<Node>(places.Count);
        var seen = new HashSet<Node>(places.Count);
        var pending = new Stack<(Node Node, bool IsLeft)>(places.Keys.Where(IsLast).Select(n => (n, false)));
        while (pending.TryPop(out var entry))
        {
            if (entry.IsLeft)
            {
                order.Add(entry.Node);
                continue;
            }
            if (!seen.Add(entry.Node))
                continue;
            pending.Push((entry.Node, true));
            foreach (var producer in Graph.ReadBy(entry.Node).Select(v => v.Producer).OfType<Node>().Where(places.ContainsKey).OrderBy(n => places[n]))
            {
                if (!seen.Contains(producer))
                    pending.Push((producer, false));
            }
        }
        return order;

        static bool IsLast(Node node) => node.Outputs.All(o => o.Uses.Count == 0);
    }
}
