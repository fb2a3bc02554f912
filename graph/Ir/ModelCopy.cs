namespace Halo.Ir;

/// <summary>Copies of models, for who changes one and needs the other as it is.</summary>
internal static class ModelCopy
{
    /// <summary>The same model in objects of its own, orders and free names included: passes give the same bytes of either. Tensors are shared.</summary>
    public static Model Clone(this Model model)
    {
        var copy = new Model(new Copying().Of(model.Graph, outer: null), model.Operators)
        {
            IrVersion = model.IrVersion,
            ProducerName = model.ProducerName,
            ProducerVersion = model.ProducerVersion,
            Domain = model.Domain,
            ModelVersion = model.ModelVersion,
            DocString = model.DocString,
        };
        foreach (var (domain, version) in model.Opsets)
            copy.Opsets[domain] = version;
        foreach (var (key, value) in model.Metadata)
            copy.Metadata[key] = value;
        foreach (var function in model.Functions)
        {
            copy.AddFunction(function with
            {
                Body = new Copying().Of(function.Body, outer: null),
                Opsets = new SortedDictionary<string, long>(function.Opsets, StringComparer.Ordinal),
            });
        }
        return copy;
    }

    /// <summary>One graph with its subgraphs, whose nodes read each other's values.</summary>
    private sealed class Copying
    {
        private readonly Dictionary<Value, Value> _values = [];
        private readonly Dictionary<Node, Node> _nodes = [];

        public Graph Of(Graph graph, Graph? outer)
        {
            var copy = Fill(graph, new Graph(graph.Name, outer));
            foreach (var (value, copied) in _values)
                copied.OrderUses(value.Uses.Where(use => _nodes.ContainsKey(use.Node)).Select(use => use with { Node = _nodes[use.Node] }));
            return copy;
        }

        private Graph Fill(Graph graph, Graph copy)
        {
            copy.DocString = graph.DocString;
            Put(graph.Metadata, copy.Metadata);
            foreach (var input in graph.Inputs)
                copy.AddInput(Of(input));
            foreach (var initializer in graph.Initializers)
                copy.AddInitializer(Of(initializer), initializer.Initializer!);
            foreach (var node in graph.Nodes)
                copy.Append(Of(node, copy));
            foreach (var output in graph.Outputs)
                copy.AddOutput(Of(output));
            copy.TakeFreeNames(graph);
            return copy;
        }

        private Node Of(Node node, Graph graph)
        {
            var copy = new Node(node.OpType, node.Inputs.Select(i => i is null ? null : Of(i)), node.Outputs.Select(Of), node.Domain, node.Name)
            {
                Overload = node.Overload,
                DocString = node.DocString,
            };
            foreach (var (name, attribute) in node.Attributes)
                copy.Attributes[name] = Of(attribute, graph);
            Put(node.Metadata, copy.Metadata);
            _nodes.Add(node, copy);
            return copy;
        }

        private Attribute Of(Attribute attribute, Graph outer) => attribute.Content switch
        {
            Graph graph => attribute with { Content = Fill(graph, new Graph(graph.Name, outer)) },
            IReadOnlyList<Graph> graphs => attribute with { Content = graphs.Select(g => Fill(g, new Graph(g.Name, outer))).ToList() },
            _ => attribute,
        };

        private Value Of(Value value)
        {
            if (!_values.TryGetValue(value, out var copy))
            {
                _values.Add(value, copy = new Value(value.Name, value.Type, value.Shape));
                Put(value.Metadata, copy.Metadata);
            }
            return copy;
        }

        private static void Put(SortedDictionary<string, string> from, SortedDictionary<string, string> to)
        {
            foreach (var (key, value) in from)
                to[key] = value;
        }
    }
}
