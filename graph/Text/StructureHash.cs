using Halo.Ir;

namespace Halo.Text;

/// <summary>Hashes of what each value is computed from, and of what is computed from it; names of values and nodes play no part.</summary>
internal sealed class StructureHash
{
    private readonly Dictionary<Value, ulong> _forward = [];
    private readonly Dictionary<Value, ulong> _backward = [];
    private readonly Dictionary<Node, ulong> _operator = [];

    /// <param name="graph">The graph to hash.</param>
    /// <param name="sources">Hashes of inputs and initializers, the same for those that correspond in two graphs.</param>
    /// <param name="outputs">Hashes of the graph outputs.</param>
    public StructureHash(Graph graph, IReadOnlyDictionary<Value, ulong> sources, IReadOnlyDictionary<Value, ulong> outputs)
    {
        foreach (var (value, hash) in sources)
            _forward[value] = hash;
        Forward(graph);
        foreach (var (value, hash) in outputs)
            _backward[value] = hash;
        foreach (var node in graph.Nodes.Reverse())
        {
            var hash = _operator[node];
            foreach (var output in node.Outputs)
                hash = Mix(hash, _backward.GetValueOrDefault(output));
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is { } input) // a sum, since the order of readers is no part of the structure
                    _backward[input] = unchecked(_backward.GetValueOrDefault(input) + Mix(hash, (ulong)i + 1));
            }
        }
    }

    public ulong Forward(Value value) => _forward.GetValueOrDefault(value);

    public ulong Forward(Node node) => node.Inputs.Aggregate(_operator[node], (h, i) => Mix(h, i is null ? 1 : _forward.GetValueOrDefault(i)));

    public ulong Backward(Node node) => node.Outputs.Aggregate(_operator[node], (h, o) => Mix(h, _backward.GetValueOrDefault(o)));

    /// <summary>The operator with its attributes.</summary>
    public ulong Operator(Node node) => _operator[node];

    /// <summary>One hash of a function: what its outputs are computed from.</summary>
    public static ulong Of(Function function)
    {
        var sources = function.Body.Inputs.Select((v, i) => (v, Hash: Mix(7, (ulong)i))).ToDictionary(p => p.v, p => p.Hash);
        var hashes = new StructureHash(function.Body, sources, new Dictionary<Value, ulong>());
        var hash = Text(string.Join(",", function.AttributeNames.Order(StringComparer.Ordinal)) + string.Join(",", function.Opsets));
        foreach (var attribute in function.AttributeDefaults.OrderBy(a => a.Name, StringComparer.Ordinal))
            hash = Mix(hash, hashes.Attribute(attribute));
        return function.Body.Outputs.Aggregate(hash, (h, o) => Mix(h, hashes.Forward(o)));
    }

    public static ulong Of(Tensor tensor) => Text(tensor + TensorText.Hash(tensor));

    public static ulong Mix(ulong a, ulong b)
    {
        var h = unchecked((a ^ (b + 0x9E3779B97F4A7C15 + (a << 6) + (a >> 2))) * 0xFF51AFD7ED558CCD); // constants of MurmurHash3
        return h ^ (h >> 32);
    }

    public static ulong Text(string text)
    {
        var hash = 14695981039346656037; // FNV-1a
        foreach (var c in text)
            hash = unchecked((hash ^ c) * 1099511628211);
        return hash;
    }

    private void Forward(Graph graph)
    {
        foreach (var node in graph.Nodes)
        {
            var hash = Text(Names.Operator(node.Domain, node.OpType, node.Overload));
            foreach (var attribute in node.Attributes.Values)
                hash = Mix(hash, Attribute(attribute));
            _operator[node] = hash;
            var outputs = Forward(node);
            for (var i = 0; i < node.Outputs.Count; i++)
                _forward[node.Outputs[i]] = Mix(outputs, (ulong)i + 2);
        }
    }

    private ulong Attribute(Attribute attribute) => Mix(Text(attribute.Name + attribute.ReferenceTo), attribute.Content switch
    {
        Tensor tensor => Of(tensor),
        Graph graph => Subgraph(graph),
        IReadOnlyList<Graph> graphs => graphs.Aggregate(3UL, (h, g) => Mix(h, Subgraph(g))),
        IReadOnlyList<Tensor> tensors => tensors.Aggregate(4UL, (h, t) => Mix(h, Of(t))),
        IReadOnlyList<long> ints => Text($"{attribute.Kind} {string.Join(",", ints)}"),
        IReadOnlyList<float> floats => Text($"{attribute.Kind} {string.Join(",", floats.Select(ElementText.Format))}"),
        IReadOnlyList<string> strings => Text($"{attribute.Kind} {string.Join(",", strings.Select(Names.Quote))}"),
        float value => Text($"{attribute.Kind} {ElementText.Format(value)}"),
        var value => Text($"{attribute.Kind} {value}"),
    });

    private ulong Subgraph(Graph graph)
    {
        for (var i = 0; i < graph.Inputs.Count; i++)
            _forward[graph.Inputs[i]] = Mix(5, (ulong)i);
        foreach (var value in graph.Initializers)
            _forward[value] = Of(value.Initializer!);
        Forward(graph);
        return graph.Outputs.Aggregate(6UL, (h, o) => Mix(h, _forward.GetValueOrDefault(o)));
    }
}
