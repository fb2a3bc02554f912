using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>The graphs a model holds: its own, those of its functions, and the subgraphs inside them.</summary>
internal static class Graphs
{
    /// <summary>All graphs of the model; a graph comes before those around it.</summary>
    public static IEnumerable<Graph> Of(Model model) =>
        model.Functions.Select(f => f.Body).Prepend(model.Graph).SelectMany(WithSubgraphs);

    /// <summary>The wished name for a node, or none if a node has it: ONNX Runtime refuses two nodes of one name, and takes nodes without.</summary>
    public static string FreeNodeName(Graph graph, string wish, Node? replaced = null) =>
        graph.Nodes.Any(n => n.Name == wish && n != replaced) ? "" : wish;

    /// <summary>The graph with what is inside it, innermost first.</summary>
    public static IEnumerable<Graph> WithSubgraphs(Graph graph) =>
        graph.Nodes.SelectMany(n => n.Subgraphs).SelectMany(WithSubgraphs).Append(graph).ToList();
}
