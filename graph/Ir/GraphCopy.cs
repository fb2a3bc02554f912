namespace Halo.Ir;

/// <summary>Copies graphs with all that is in them; tensors, which do not change, are shared.</summary>
internal sealed class GraphCopy
{
    private readonly Dictionary<Value, Value> _copies = [];

    public static Graph Of(Graph graph) => new GraphCopy().Copy(graph, null);

    private Graph Copy(Graph graph, Graph? outer)
    {
        var copy = new Graph(graph.Name, outer) { DocString = graph.DocString };
        CopyTo(graph.Metadata, copy.Metadata);
        foreach (var input in graph.Inputs)
            copy.AddInput(New(input));
        foreach (var initializer in graph.Initializers)
        {
            if (initializer.IsGraphInput)
                copy.MakeInitializer(_copies[initializer], initializer.Initializer!);
            else
                Take(initializer, copy.AddInitializer(initializer.Name, initializer.Initializer!));
        }
        foreach (var node in graph.Nodes)
            copy.Append(Copy(node, copy));
        foreach (var output in graph.Outputs)
            copy.AddOutput(_copies[output]);
        return copy;
    }

    private Node Copy(Node node, Graph copy)
    {
        var made = new Node(node.OpType, node.Inputs.Select(v => v is null ? null : _copies[v]), node.Outputs.Select(New), node.Domain, node.Name)
        {
            Overload = node.Overload,
            DocString = node.DocString,
        };
        CopyTo(node.Metadata, made.Metadata);
        foreach (var attribute in node.Attributes.Values)
        {
            made.With(attribute.Content switch
            {
                Graph inner => attribute with { Content = Copy(inner, copy) },
                IReadOnlyList<Graph> inner => attribute with { Content = (IReadOnlyList<Graph>)[.. inner.Select(g => Copy(g, copy))] },
                _ => attribute,
            });
        }
        return made;
    }

    private Value New(Value value) => Take(value, new Value(value.Name));

    private Value Take(Value value, Value copy)
    {
        (copy.Type, copy.Shape) = (value.Type, value.Shape);
        CopyTo(value.Metadata, copy.Metadata);
        return _copies[value] = copy;
    }

    internal static void CopyTo(SortedDictionary<string, string> from, SortedDictionary<string, string> to)
    {
        foreach (var (key, value) in from)
            to[key] = value;
    }
}
