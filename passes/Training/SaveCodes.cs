using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Keeps what gradients read of the forward part as int8 codes with a scale for each 128 neighbours.</summary>
/// <remarks>
/// Gate and up of a SwiGLU, X of a norm, Q, K, V and Y of an attention are read by their gradients alone once the forward part is over. Their codes are made
/// where they are: the forward part goes on only behind (com.halo.Barrier), or a runtime would make them when the gradient asks, and keep the tensors until
/// then. A SwiGLU's gradient reads codes itself; the others get their numbers right in front of them: a node that gives those stands in the forward part,
/// in front of all that the other operands hang on, which is therefore run before it (<see cref="Memory.RunOrder"/>). The loss keeps its bits,
/// gradients do not.
/// What something else of the backward part reads as well, or what is computed again, is left as it is.
/// </remarks>
/// <param name="Of">Whose gradients.</param>
public sealed record SaveCodes(SavedInputs Of) : IGraphPass
{
    /// <summary>
    /// Codes alone are 40 dB below normal numbers; an outlier takes digits from its block. The least of any gradient, in 8-bit graphs, where a rounding that
    /// tips over is a step of the code behind it.
    /// </summary>
    private const double FloorDb = 10;

    public string Name => "save-codes";

    public ValueEffect Effect => new ValueEffect.Quantizing(FloorDb);

    public void Requires(Model model) => TrainingGraph.Require(model, Name);

    public PassResult Run(Model model, PassContext context)
    {
        var forward = Ancestors.Of(model.Graph.Outputs.First(o => o.Name == TrainingNames.Loss));
        var readers = model.Graph.Nodes.Where(n => !forward.Contains(n) && Of.InputsOf(n).Count > 0).ToList();
        var wanted = readers.SelectMany(n => Of.InputsOf(n).Select(i => (Node: n, Index: i))).ToHashSet();
        var saved = new HashSet<Value>();
        foreach (var node in readers)
        {
            var values = Of.InputsOf(node).Select(i => node.Inputs[i]!).Distinct().ToList();
            var refusals = values.Select(v => Refusal(v, forward, wanted) is { } reason ? $"'{v.Name}' {reason}" : null).ToList();
            foreach (var reason in refusals.OfType<string>())
                context.Skip(node, reason);
            if (node.OpType != nameof(SwiGluGrad) || refusals.TrueForAll(r => r is null)) // reads both as codes, or neither
                saved.UnionWith(values.Where((_, i) => refusals[i] is null));
        }
        foreach (var value in saved)
        {
            var uses = value.Uses.Where(u => wanted.Contains((u.Node, u.Index))).ToList();
            context.Step(uses[0].Node, $"keep '{value.Name}' as codes");
            Save(model.Graph, value, forward, uses);
        }
        foreach (var node in readers.Where(n => n.OpType == nameof(SwiGluGrad)))
            ReadCodes(node);
        return new PassResult(saved.Count);
    }

    /// <summary>Takes the order away that only codes for a backward part need, of a graph that has none any more.</summary>
    public static void Undo(Graph graph)
    {
        foreach (var barrier in graph.Nodes.Where(n => n.Is(nameof(CustomOps.Barrier), HaloDomain.Name)
            && n.Inputs.Skip(1).All(i => i!.Producer is { OpType: nameof(QuantizeBlocks) })).ToList())
        {
            barrier.Output.ReplaceUsesWith(barrier.Inputs[0]!);
            graph.Remove(barrier);
        }
    }

    private static string? Refusal(Value value, HashSet<Node> forward, HashSet<(Node, int)> wanted) =>
        value.Producer is not { } producer || !forward.Contains(producer) ? "is not computed by the forward part"
        : value.IsGraphOutput ? "is an output of the graph"
        : value.Uses.FirstOrDefault(u => !forward.Contains(u.Node) && !wanted.Contains((u.Node, u.Index))).Node is { } other ? $"is read by {other} as well"
        : null;

    private static void Save(Graph graph, Value value, HashSet<Node> forward, List<Use> uses)
    {
        var build = GraphBuilder.AfterDefinition(graph, value, value.Name);
        var (codes, scales) = build.QuantizeBlocks(value, "codes");
        var held = build.Barrier(value, [scales], "coded");
        var numbers = build.DequantizeBlocks(codes, scales, value.Type, "numbers");
        foreach (var use in value.Uses.Where(u => forward.Contains(u.Node)).ToList())
            use.Node.ReplaceInput(use.Index, held);
        foreach (var use in uses)
            use.Node.ReplaceInput(use.Index, numbers);
    }

    /// <summary>A SwiGLU's gradient decodes by itself.</summary>
    private static void ReadCodes(Node node)
    {
        var (gate, up) = (node.Inputs[1]!.Producer, node.Inputs[2]!.Producer);
        if (gate?.OpType != nameof(DequantizeBlocks) || up?.OpType != nameof(DequantizeBlocks))
            return;
        node.ReadCodes((gate.Inputs[0]!, gate.Inputs[1]!), (up.Inputs[0]!, up.Inputs[1]!));
        foreach (var decoded in new[] { gate, up }.Distinct().Where(n => n.Output.Uses.Count == 0))
            node.Graph!.Remove(decoded);
    }
}
