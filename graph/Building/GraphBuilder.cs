using Halo.Analysis;
using Halo.Ir;

namespace Halo.Building;

/// <summary>Makes nodes at one place of a graph; each output gets its type and shape as it is made.</summary>
public sealed class GraphBuilder
{
    private readonly Graph _graph;
    private readonly Action<Node> _insert;
    private readonly string _prefix;

    private GraphBuilder(Graph graph, Action<Node> insert, string prefix) => (_graph, _insert, _prefix) = (graph, insert, prefix);

    /// <summary>New nodes stand in front of <paramref name="anchor"/>, in the order they are made; names extend <paramref name="prefix"/>.</summary>
    public static GraphBuilder Before(Node anchor, string? prefix = null) =>
        new(anchor.Graph!, node => anchor.Graph!.InsertBefore(anchor, node), prefix ?? anchor.Name);

    /// <summary>New nodes stand behind <paramref name="anchor"/>, in the order they are made.</summary>
    public static GraphBuilder After(Node anchor, string? prefix = null)
    {
        var last = anchor;
        return new(anchor.Graph!, node => last = last.Graph!.InsertAfter(last, node), prefix ?? anchor.Name);
    }

    /// <summary>New nodes stand right behind the definition of <paramref name="value"/>: its node, or the start of the graph.</summary>
    public static GraphBuilder AfterDefinition(Graph graph, Value value, string prefix)
    {
        if (value.Producer is { } producer)
            return After(producer, prefix);
        Node? last = null;
        return new(graph, node => last = last is null ? graph.Prepend(node) : graph.InsertAfter(last, node), prefix);
    }

    /// <summary>New nodes stand behind all others.</summary>
    public static GraphBuilder AtEnd(Graph graph, string prefix = "") => new(graph, node => graph.Append(node), prefix);

    /// <summary>The model in which the nodes are made.</summary>
    public Model Model => _graph.Model;

    /// <summary>Makes a node with one output.</summary>
    /// <param name="name">Extends the prefix: <c>prefix/name</c> names both the node and its output, with a number behind it if taken.</param>
    /// <param name="opType">The operator; a domain may stand before the last dot, <c>com.example.Scale</c>.</param>
    /// <param name="inputs">Values read; null leaves an optional input out.</param>
    /// <param name="attributes">The operator's attributes.</param>
    public Value Op(string name, string opType, ReadOnlySpan<Value?> inputs, params ReadOnlySpan<Attribute> attributes) =>
        Node(name, opType, inputs, 1, "", attributes).Output;

    /// <summary>Makes a node with <paramref name="outputCount"/> outputs, and a function overload if one is meant.</summary>
    public Node Node(string name, string opType, ReadOnlySpan<Value?> inputs, int outputCount, string overload, params ReadOnlySpan<Attribute> attributes)
    {
        var dot = opType.LastIndexOf('.');
        var full = FullName(name);
        var outputs = Enumerable.Range(0, outputCount).Select(i => new Value(_graph.FreeName(i == 0 ? full : $"{full}.{i}"))).ToArray();
        var node = new Node(opType[(dot + 1)..], inputs.ToArray(), outputs, dot < 0 ? "" : opType[..dot], outputs[0].Name) { Overload = overload };
        node.With(attributes);
        _insert(node);
        ShapeInference.Infer(node);
        return node;
    }

    /// <summary>An initializer of the graph.</summary>
    public Value Constant(string name, Tensor tensor) => _graph.AddInitializer(_graph.FreeName(FullName(name)), tensor);

    private string FullName(string name) => _prefix.Length == 0 ? name : name.Length == 0 ? _prefix : $"{_prefix}/{name}";
}
