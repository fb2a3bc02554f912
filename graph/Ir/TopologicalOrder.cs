namespace Halo.Ir;

/// <summary>Kahn's algorithm, which takes of the nodes that may come next the first in the present order.</summary>
internal static class TopologicalOrder
{
    /// <summary>Orders nodes so that each stands behind what it reads, keeping the present order where it is right already.</summary>
    /// <exception cref="InvalidOperationException">The graph has a cycle; it stays as it is.</exception>
    public static void SortTopologically(this Graph graph)
    {
        var nodes = graph.Nodes.ToList();
        var position = new Dictionary<Node, int>(nodes.Count);
        for (var i = 0; i < nodes.Count; i++)
            position[nodes[i]] = i;
        var waits = new int[nodes.Count];
        var readers = new List<int>[nodes.Count];
        for (var i = 0; i < nodes.Count; i++)
        {
            foreach (var input in Graph.ReadBy(nodes[i]))
            {
                if (input.Producer is { } producer && position.TryGetValue(producer, out var p) && p != i)
                {
                    (readers[p] ??= []).Add(i);
                    waits[i]++;
                }
            }
        }
        var ready = new PriorityQueue<int, int>(Enumerable.Range(0, nodes.Count).Where(i => waits[i] == 0).Select(i => (i, i)));
        var order = new List<Node>(nodes.Count);
        while (ready.TryDequeue(out var i, out _))
        {
            order.Add(nodes[i]);
            foreach (var reader in readers[i] ?? [])
            {
                if (--waits[reader] == 0)
                    ready.Enqueue(reader, reader);
            }
        }
        if (order.Count != nodes.Count)
            throw new InvalidOperationException("the graph has a cycle");
        graph.Order(order);
    }
}
