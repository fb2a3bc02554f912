using Halo.Ir;

namespace Halo.Memory;

/// <summary>Memory that one value after another has during a run.</summary>
/// <param name="SizeBytes">As asked for.</param>
/// <param name="Values">The values that lie in it, views included, in the order of the run.</param>
/// <param name="First">The place, in the order of the run, of the node that writes the first value.</param>
/// <param name="Last">The place of the last node that reads a value in it; that of the last node of all where nobody does.</param>
internal sealed record Buffer(long SizeBytes, IReadOnlyList<Value> Values, int First, int Last);

/// <summary>Which memory ONNX Runtime takes for the values of a graph, and how long it keeps it.</summary>
/// <remarks>
/// As its planner does for one stream: a view shares; an output overwrites an input that is read for the last time where the kernel can; else it takes
/// the buffer freed last that has its sizes and width, where both are known before the run; else a new one. A buffer is kept from its first value to the last reader of its last one, also in
/// between. Inputs, initializers and outputs of the graph belong to others.
/// </remarks>
internal sealed class Buffers
{
    private readonly IKernelMemory _kernels;
    private readonly Dictionary<Value, int> _uses = [];
    private readonly Dictionary<Value, Value> _roots = [];
    private readonly Dictionary<(int Bits, Shape Sizes), Stack<Value>> _free = []; // what nobody reads any more, the last freed on top
    private readonly Dictionary<Value, (List<Value> Values, int First, int Last)> _taken = []; // by the first value
    private readonly List<Value> _firsts = [];
    private readonly Dictionary<Node, int> _places = [];

    private readonly Func<Value, bool> _isBound;
    private readonly IReadOnlyDictionary<Value, Shape?>? _known;

    private Buffers(IReadOnlyList<Node> order, IKernelMemory kernels, Func<Value, bool>? isBound, IReadOnlyDictionary<Value, Shape?>? known)
    {
        (Order, _kernels, _isBound, _known) = (order, kernels, isBound ?? (_ => true), known);
        if (order.Count > 0)
            Count(order[0].Graph!);
        for (var i = 0; i < order.Count; i++)
        {
            _places.Add(order[i], i);
            foreach (var output in Present(order[i]))
                Place(order[i], output, i);
            foreach (var value in order[i].Inputs.OfType<Value>().Concat(Present(order[i])))
                Drop(value, i);
        }
        var end = order.Count - 1;
        All = [.. _firsts.Select(v => (First: v, Taken: _taken[v]))
            .Select(b => new Buffer(Bytes(b.First)!.Value, b.Taken.Values, b.Taken.First, b.Taken.Last < 0 ? end : b.Taken.Last))];
    }

    /// <summary>The nodes as they run.</summary>
    public IReadOnlyList<Node> Order { get; }

    /// <summary>Those that a run takes, in the order in which it does.</summary>
    public IReadOnlyList<Buffer> All { get; }

    /// <summary>The place of a node in the order of the run.</summary>
    public int PlaceOf(Node node) => _places[node];

    /// <summary>The last value of a buffer that is written up to a place and read there or behind it; null where the buffer is kept for a later one.</summary>
    public Value? ValueIn(Buffer buffer, int place) => buffer.Values.LastOrDefault(v => PlaceOf(v.Producer!) <= place
        && (PlaceOf(v.Producer!) == place || v.Uses.Any(u => _places.GetValueOrDefault(u.Node, -1) >= place)));

    /// <param name="graph">With shapes inferred; what has none counts nothing.</param>
    /// <param name="kernels">Of the runtime.</param>
    /// <param name="isBound">Whether somebody holds memory for an output; null: for all. Others are kept to the end of the run.</param>
    /// <param name="known">The sizes that the runtime knows before it runs, and names for others (<see cref="HiddenBatch"/>); null: all that there are.</param>
    public static Buffers Of(Graph graph, IKernelMemory kernels, Func<Value, bool>? isBound = null, IReadOnlyDictionary<Value, Shape?>? known = null) =>
        new(RunOrder.Of(graph), kernels, isBound, known);

    /// <param name="order">All nodes of a graph, as they run.</param>
    /// <param name="kernels">Of the runtime.</param>
    public static Buffers Of(IReadOnlyList<Node> order, IKernelMemory kernels) => new(order, kernels, null, null);

    /// <summary>Bytes of a value's elements; null where its sizes are not known.</summary>
    public static long? Bytes(Value value) => value.Shape?.ElementCount is { } count ? value.Type.SizeBytes(count) : null;

    private void Count(Graph graph)
    {
        foreach (var node in Order)
        {
            foreach (var value in node.Inputs.OfType<Value>().Concat(Present(node)))
                Add(value);
        }
        foreach (var value in graph.Inputs.Concat(graph.Initializers).Concat(graph.Outputs))
            Add(value);

        void Add(Value value) => _uses[value] = _uses.GetValueOrDefault(value) + 1;
    }

    private void Place(Node node, Value output, int at)
    {
        if (output.IsGraphOutput)
        {
            if (!_isBound(output) && Bytes(output) is not null)
                Take(output, at);
            return;
        }
        if ((Overwritten(node, output) ?? TakeFreed(node, output)) is { } reused)
        {
            var root = Root(reused);
            _roots[output] = root;
            _uses[root] += _uses[output];
            if (_taken.TryGetValue(root, out var taken))
                taken.Values.Add(output);
        }
        else if (!_kernels.IsOnHost(node) && Bytes(output) is not null)
        {
            Take(output, at);
        }
    }

    private void Take(Value output, int at)
    {
        _taken[output] = ([output], at, -1);
        _firsts.Add(output);
    }

    private Value? Overwritten(Node node, Value output)
    {
        if (output.ProducerIndex == 0 && _kernels.IsView(node))
            return node.Inputs[0];
        return _kernels.MayOverwrite(node, output.ProducerIndex).Select(i => node.Input(i)).OfType<Value>()
            .FirstOrDefault(input => _uses[Root(input)] == 1 && AreAlike(input, output));
    }

    private Value? TakeFreed(Node node, Value output) => output.Shape is { Rank: > 0 } && !_kernels.IsOnHost(node) && SizesOf(output) is { } sizes
        && _free.TryGetValue(sizes, out var freed) && freed.TryPop(out var last) ? last : null;

    private Value Root(Value value) => _roots.GetValueOrDefault(value, value);

    private void Drop(Value value, int at)
    {
        var root = Root(value);
        if (_taken.TryGetValue(root, out var taken) && value.Producer != Order[at] && !root.IsGraphOutput)
            _taken[root] = taken with { Last = at };
        if (--_uses[root] == 0 && _taken.ContainsKey(root) && SizesOf(root) is { } sizes)
        {
            if (!_free.TryGetValue(sizes, out var freed))
                _free.Add(sizes, freed = new Stack<Value>());
            freed.Push(root);
        }
    }

    private bool AreAlike(Value a, Value b) => SizesOf(a) is { } sizes && SizesOf(b) is { } others && sizes.Equals(others);

    /// <summary>What two values have in common where one may lie in the other's buffer: bits of an element, and sizes that are known, or known to be the same.</summary>
    private (int Bits, Shape Sizes)? SizesOf(Value value) => Known(value) is { } shape && shape.All(d => d != Dim.Unknown) ? (value.Type.Bits(), shape) : null;

    private Shape? Known(Value value) => _known is null ? value.Shape : _known.GetValueOrDefault(value);

    private static IEnumerable<Value> Present(Node node) => node.Outputs.Where(o => o.Name.Length > 0);
}
