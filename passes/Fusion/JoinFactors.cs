using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>Adapters of layers that read one tensor (q, k and v; gate and up) read it in one product, and give its gradient in one.</summary>
/// <remarks>
/// With A the rows of A1, A2, ..: X A^T in place of each X Ai^T, whose columns are split; [E1 E2 ..]^T X in place of each Ei^T X, whose rows are split; and
/// [E1 E2 ..] A in place of the sum of all Ei Ai. Products of rank 16 are bound by X and by the gradient, which are read and written once in place of once a layer;
/// what is joined and split is a few columns. For graphs that run on a GPU; in front of fuse-siblings and fuse-additions, which then find the sums of the base's
/// gradients beside one another.
/// </remarks>
public sealed record JoinFactors() : IGraphPass
{
    public string Name => "join-factors";

    public ValueEffect Effect => new ValueEffect.Reassociating(FuseSiblings.Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var join = new FactorJoins(model.Graph);
        var rewrites = 0;
        foreach (var group in Groups(model.Graph, n => IsPlainGemm(n, transA: 0, transB: 1) && !n.Output.IsGraphOutput ? DownOf(n.Inputs[1]!) : null, 0))
        {
            context.Step(group[0].Node, $"multiply '{group[0].Node.Inputs[0]!.Name}' by {group.Count} factors at once");
            join.Forward(group);
            rewrites++;
        }
        foreach (var group in Groups(model.Graph, n => IsPlainGemm(n, transA: 1, transB: 0) ? DownWithGradient(model.Graph, n.Output) : null, 1))
        {
            context.Step(group[0].Node, $"multiply '{group[0].Node.Inputs[1]!.Name}' by the gradients of {group.Count} adapters at once");
            join.Gradients(group);
            rewrites++;
        }
        var places = model.Graph.Nodes.Select((node, place) => (node, place)).ToDictionary(pair => pair.node, pair => pair.place);
        foreach (var sum in model.Graph.Nodes.Where(n => n.Is("Add") && !IsSummed(n.Output)).ToList())
        {
            var terms = TermsOf(sum.Output, []).OrderBy(t => places[t]).Select(t => (t, DownOf(t.Inputs[1]!)!)).ToList();
            if (terms.Count < 2)
                continue;
            context.Step(sum, $"sum the gradients of {terms.Count} adapters in one product");
            join.Sum(terms);
            rewrites++;
        }
        if (rewrites > 0)
            model.Graph.SortTopologically();
        return new PassResult(rewrites);
    }

    /// <summary>Products of factors that share an operand.</summary>
    private static List<List<(Node Node, Value Factor)>> Groups(Graph graph, Func<Node, Value?> factorOf, int shared) =>
    [
        .. graph.Nodes.Select(n => (Node: n, Factor: factorOf(n))).Where(p => p.Factor is not null).Select(p => (p.Node, p.Factor!))
            .GroupBy(p => p.Node.Inputs[shared]!).Select(g => g.ToList()).Where(g => g.Count > 1),
    ];

    /// <summary>Of two matrices, with nothing added and scaled by nothing.</summary>
    private static bool IsPlainGemm(Node node, long transA, long transB) => node.Is("Gemm") && node.Inputs.Count == 2 && node.Float("alpha", 1) == 1
        && node.Int("transA", 0) == transA && node.Int("transB", 0) == transB && AreMatrices(node);

    private static bool AreMatrices(Node node) => node.Inputs.All(x => x!.Shape is { Rank: 2, IsStatic: true });

    /// <summary>The factor A that a value is, or is a cast of.</summary>
    private static Value? DownOf(Value value) => value.IsGraphInput ? AdapterNames.IsFactor(value.Name) && AdapterNames.IsDown(value.Name) ? value : null
        : value.Producer is { } node && node.Is("Cast") ? DownOf(node.Inputs[0]!) : null;

    /// <summary>The factor A whose gradient a value is, or is cast to.</summary>
    private static Value? DownWithGradient(Graph graph, Value value) => !value.IsGraphOutput
        ? value.Uses is [{ Node: var cast }] && cast.Is("Cast") ? DownWithGradient(graph, cast.Output) : null
        : value.Name.StartsWith(TrainingNames.GradientPrefix, StringComparison.Ordinal)
            && graph.TryGetValue(value.Name[TrainingNames.GradientPrefix.Length..], out var factor) ? DownOf(factor) : null;

    /// <summary>Whether a sum alone reads a value.</summary>
    private static bool IsSummed(Value value) => value is { IsGraphOutput: false, Uses: [{ Node: var reader }] } && reader.Is("Add");

    /// <summary>The products of gradients with factors that a sum is of, each of which is added to something by itself.</summary>
    private static List<Node> TermsOf(Value sum, List<Node> found)
    {
        if (sum.Producer!.Inputs.Any(x => x!.Shape is not { IsStatic: true } shape || !shape.Equals(sum.Shape)))
            return found;
        foreach (var term in sum.Producer.Inputs.Select(x => x!).Where(x => x.Producer is not null && IsSummed(x)))
        {
            if (term.Producer!.Is("Add"))
                TermsOf(term, found);
            else if (term.Producer.Is("MatMul") && AreMatrices(term.Producer) && DownOf(term.Producer.Inputs[1]!) is not null)
                found.Add(term.Producer);
        }
        return found;
    }
}
