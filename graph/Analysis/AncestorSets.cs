using Halo.Ir;

namespace Halo.Analysis;

/// <summary>For many nodes of a graph at once, which of some nodes they hang on: <see cref="Ancestors"/> of each, in one pass.</summary>
/// <remarks>A bit for each asked node goes from producers to readers: nodes times asked nodes over 64, in words, where a walk from each node costs the whole graph each time.</remarks>
internal sealed class AncestorSets
{
    private readonly Dictionary<Node, int> _bits = [];
    private readonly Dictionary<Node, ulong[]> _sets = [];

    /// <param name="graph">Its nodes in order, each behind what it reads; what is added later hangs on nothing here.</param>
    /// <param name="asked">Nodes of the graph of which <see cref="Contains"/> can be asked.</param>
    public AncestorSets(Graph graph, IEnumerable<Node> asked)
    {
        foreach (var node in asked)
            _bits.TryAdd(node, _bits.Count);
        var words = (_bits.Count + 63) / 64;
        foreach (var node in graph.Nodes)
        {
            var set = _sets[node] = new ulong[words];
            foreach (var value in Graph.ReadBy(node))
            {
                if (value.Producer is { } producer && _sets.TryGetValue(producer, out var before))
                {
                    for (var i = 0; i < words; i++)
                        set[i] |= before[i];
                }
            }
            if (_bits.TryGetValue(node, out var bit))
                set[bit / 64] |= 1UL << (bit % 64);
        }
    }

    /// <summary>Whether a value is computed by an asked node, directly or not.</summary>
    public bool Contains(Value value, Node asked) => _bits.TryGetValue(asked, out var bit) && value.Producer is { } producer
        && _sets.TryGetValue(producer, out var set) && (set[bit / 64] & (1UL << (bit % 64))) != 0;
}
