using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Removes nodes, initializers and functions that no graph output needs. Graph inputs and outputs stay.</summary>
/// <remarks>ONNX operators have no side effects, so what reaches no output is dead; random ones too.</remarks>
public sealed record RemoveDeadCode() : IGraphPass
{
    public string Name => "remove-dead-code";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var graph in Graphs.Of(model))
        {
            foreach (var node in graph.Nodes.Reverse().ToList()) // readers before what they read, so one sweep is enough
            {
                if (node.Outputs.Any(o => o.Uses.Count > 0 || o.IsGraphOutput))
                    continue;
                context.Step(node, "remove, no output needs it");
                foreach (var subgraph in node.Subgraphs)
                    Empty(subgraph);
                graph.Remove(node);
                rewrites++;
            }
            rewrites += graph.RemoveUnusedInitializers();
        }
        return new PassResult(rewrites + RemoveFunctions(model));
    }

    /// <summary>Lets a subgraph go: what it reads outside itself has its nodes as readers no longer.</summary>
    private static void Empty(Graph graph)
    {
        foreach (var output in graph.Outputs.Where(o => graph.Values.GetValueOrDefault(o.Name) == o).ToList())
            graph.RemoveOutput(output);
        foreach (var node in graph.Nodes.Reverse().ToList())
        {
            foreach (var subgraph in node.Subgraphs)
                Empty(subgraph);
            graph.Remove(node);
        }
    }

    private static int RemoveFunctions(Model model)
    {
        var live = new HashSet<Function>();
        var waiting = new Stack<Graph>([model.Graph]);
        while (waiting.TryPop(out var graph))
        {
            foreach (var node in Graphs.WithSubgraphs(graph).SelectMany(g => g.Nodes))
            {
                if (model.FindFunction(node) is { } function && live.Add(function))
                    waiting.Push(function.Body);
            }
        }
        var dead = model.Functions.Where(f => !live.Contains(f)).ToList();
        dead.ForEach(model.RemoveFunction);
        return dead.Count;
    }
}
