using Halo.Ir;
using Halo.Memory;
using Halo.Operators;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Puts nodes where ONNX Runtime runs them in an order that takes little memory.</summary>
/// <remarks>
/// ONNX Runtime starts at the last node that nobody reads and runs, for each node, what stands last in the file first (<see cref="RunOrder"/>). A weight that is
/// cast or quantized right in front of its product is so made before all that the product's other operand hangs on: all weights of a model at once. In front
/// of the file they are made when they are needed. Nodes that nobody reads, the gradients of weights, run as soon as they can if the first of them is the
/// last of the file; those that only a com.halo.Barrier waits for, if they stand in front of it in that order.
/// </remarks>
public sealed record OrderNodes() : IGraphPass
{
    public string Name => "order-nodes";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var nodes = graph.Nodes.ToList();
        var ofData = new HashSet<Value>(graph.Inputs.Where(i => !i.Type.IsFloat() && !FrozenBase.IsHeld(i)));
        foreach (var node in nodes.Where(n => Graph.ReadBy(n).Any(ofData.Contains)))
            ofData.UnionWith(node.Outputs);
        var places = nodes.Select((node, place) => (node, place)).ToDictionary(p => p.node, p => p.place);
        var ends = LatestFirst(nodes.Where(n => n.Outputs.All(o => o.Uses.Count == 0)));
        var weights = nodes.Where(n => !n.Outputs.Any(ofData.Contains)).Except(ends).ToList();
        var rest = nodes.Except(weights).Except(ends).ToList();
        var awaited = rest.Where(IsAwaited).ToLookup(n => n.Outputs.SelectMany(o => o.Uses).MinBy(u => places[u.Node]).Node);
        var others = rest.Except(awaited.SelectMany(group => group)).SelectMany(n => LatestFirst(awaited[n]).Append(n));
        Node[] ordered = [.. weights, .. others, .. ends];
        var moved = ordered.Zip(nodes).Count(pair => pair.First != pair.Second);
        if (moved > 0)
        {
            context.Step(ordered[0], $"{weights.Count} nodes of weights in front, {ends.Count} ends in the order in which they run");
            graph.Order(ordered);
        }
        return new PassResult(moved);

        List<Node> LatestFirst(IEnumerable<Node> ends) =>
            [.. ends.OrderByDescending(n => Graph.ReadBy(n).Max(v => v.Producer is { } producer ? places.GetValueOrDefault(producer) : -1))];
    }

    /// <summary>Whether nobody reads a node's outputs and something waits for them.</summary>
    private static bool IsAwaited(Node node)
    {
        var uses = node.Outputs.SelectMany(o => o.Uses).ToList();
        return uses.Count > 0 && uses.TrueForAll(u => u is { Index: > 0, Node.Facts.Role: OperatorRole.Ordering });
    }
}
