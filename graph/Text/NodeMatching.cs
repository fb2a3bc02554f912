using Halo.Ir;

namespace Halo.Text;

/// <summary>Which node of one graph is which of another: the surest signs first, then the neighbours of what is matched.</summary>
internal sealed class NodeMatching
{
    private readonly Dictionary<Node, Node> _ofA = [];
    private readonly HashSet<Node> _usedB = [];

    public NodeMatching(Graph a, Graph b, StructureHash hashA, StructureHash hashB)
    {
        Match(a, b, n => (hashA.Forward(n), hashA.Backward(n), n.Name), n => (hashB.Forward(n), hashB.Backward(n), n.Name));
        Match(a, b, n => (hashA.Forward(n), hashA.Backward(n)), n => (hashB.Forward(n), hashB.Backward(n)));
        Match(a, b, n => (hashA.Forward(n), n.Name), n => (hashB.Forward(n), n.Name));
        Match(a, b, n => (hashA.Backward(n), n.Name), n => (hashB.Backward(n), n.Name));
        Match(a, b, n => hashA.Forward(n), n => hashB.Forward(n));
        Match(a, b, n => hashA.Backward(n), n => hashB.Backward(n));
        Match(a, b, n => n.Name.Length == 0 ? null : (n.Name, n.OpType, n.Domain),
            n => n.Name.Length == 0 ? null : ((string, string, string)?)(n.Name, n.OpType, n.Domain));
        MatchNeighbours(hashA, hashB);
    }

    public Node? Of(Node a) => _ofA.GetValueOrDefault(a);

    public bool IsMatched(Node b) => _usedB.Contains(b);

    /// <summary>Pairs the nodes that are still free and have one key, in order.</summary>
    private void Match<TKey>(Graph a, Graph b, Func<Node, TKey?> keyA, Func<Node, TKey?> keyB)
    {
        var free = new Dictionary<object, Queue<Node>>();
        foreach (var node in b.Nodes)
        {
            if (_usedB.Contains(node) || keyB(node) is not { } key)
                continue;
            if (!free.TryGetValue(key, out var queue))
                free[key] = queue = new Queue<Node>();
            queue.Enqueue(node);
        }
        foreach (var node in a.Nodes)
        {
            if (!_ofA.ContainsKey(node) && keyA(node) is { } key && free.TryGetValue(key, out var queue) && queue.TryDequeue(out var other))
                Pair(node, other);
        }
    }

    /// <summary>Producers of one input slot correspond, and readers of one output through one slot, if they are the same operator.</summary>
    private void MatchNeighbours(StructureHash hashA, StructureHash hashB)
    {
        var work = new Queue<Node>(_ofA.Keys);
        bool Fits(Node x, Node y) => !_ofA.ContainsKey(x) && !_usedB.Contains(y) && x.OpType == y.OpType && x.Domain == y.Domain;
        while (work.TryDequeue(out var a))
        {
            var b = _ofA[a];
            for (var i = 0; i < Math.Min(a.Inputs.Count, b.Inputs.Count); i++)
            {
                if (a.Inputs[i]?.Producer is { } x && b.Inputs[i]?.Producer is { } y && Fits(x, y))
                    work.Enqueue(Pair(x, y));
            }
            for (var o = 0; o < Math.Min(a.Outputs.Count, b.Outputs.Count); o++)
            {
                var readers = b.Outputs[o].Uses.Where(u => !_usedB.Contains(u.Node)).ToList();
                if (readers.Count == 0)
                    continue;
                foreach (var use in a.Outputs[o].Uses.Where(u => !_ofA.ContainsKey(u.Node)).ToList())
                {
                    var same = readers.Where(u => u.Index == use.Index && Fits(use.Node, u.Node)).Select(u => u.Node).Take(8).ToList();
                    if (same.Count > 0)
                        work.Enqueue(Pair(use.Node, same.Find(n => hashB.Operator(n) == hashA.Operator(use.Node)) ?? same[0]));
                }
            }
        }
    }

    private Node Pair(Node a, Node b)
    {
        _ofA.Add(a, b);
        _usedB.Add(b);
        return a;
    }
}
