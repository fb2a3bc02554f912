using Halo.Ir;

namespace Halo.Analysis;

/// <summary>Fills in element types and shapes of values from what the operators' definitions say.</summary>
public static class ShapeInference
{
    private static readonly Dictionary<(string Domain, string OpType), Action<Node>> Rules = [];

    /// <summary>Adds the rule of one operator: it reads the inputs of the node and sets Type and Shape of its outputs.</summary>
    public static void Register(string domain, string opType, Action<Node> rule) => Rules[(domain, opType)] = rule;

    /// <summary>Infers the outputs of one node; an operator without a rule leaves them as they are.</summary>
    public static void Infer(Node node)
    {
        if (Rules.TryGetValue((node.Domain, node.OpType), out var rule))
            rule(node);
    }

    /// <summary>Infers every node of the graph, in order.</summary>
    public static void Run(Graph graph)
    {
        foreach (var node in graph.Nodes)
            Infer(node);
    }
}
