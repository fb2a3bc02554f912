using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>One product in place of several with factors of adapters; nodes are left in any order.</summary>
internal sealed class FactorJoins(Graph graph)
{
    private readonly Dictionary<string, Value> _joined = new(StringComparer.Ordinal);

    /// <summary>Each X Ai^T of one X.</summary>
    /// <param name="products">In the order of the graph, each with its factor.</param>
    public void Forward(IReadOnlyList<(Node Node, Value Factor)> products)
    {
        var first = products[0].Node;
        var build = GraphBuilder.Before(first, first.Output.Name);
        var ordered = Ordered(products);
        Split(build, ordered, build.Op("joined", "Gemm", [first.Inputs[0], Factors(ordered, 1)], Ir.Attribute.Of("transB", 1L)), 1);
    }

    /// <summary>Each Ei^T X of one X.</summary>
    public void Gradients(IReadOnlyList<(Node Node, Value Factor)> products)
    {
        var last = products[^1].Node;
        var build = GraphBuilder.Before(last, last.Output.Name);
        var ordered = Ordered(products);
        var joined = build.Op("joined", "Gemm", [Columns(build, ordered), last.Inputs[1]], Ir.Attribute.Of("transA", 1L));
        if (products.All(p => p.Node.Output is { IsGraphOutput: false, Uses: [{ Node: { OpType: "Cast" } }] }))
        {
            var casts = ordered.Select(p => (p.Node.Output.Uses[0].Node, p.Factor)).ToList();
            var type = casts[0].Node.Output.Type;
            Split(build, casts, build.Op($"joined/{type.Name()}", "Cast", [joined], Ir.Attribute.Of("to", (long)type)), 0);
            foreach (var (product, _) in products)
                graph.Remove(product);
            return;
        }
        Split(build, ordered, joined, 0);
    }

    /// <summary>Each Ei Ai of one sum: the last takes the place of all, the others are not added.</summary>
    public void Sum(IReadOnlyList<(Node Node, Value Factor)> products)
    {
        var last = products[^1].Node;
        var build = GraphBuilder.Before(last, last.Output.Name);
        var ordered = Ordered(products);
        var all = build.Op("joined", "MatMul", [Columns(build, ordered), Factors(ordered, 1)]);
        foreach (var (product, _) in products.SkipLast(1))
        {
            var use = product.Output.Uses[0];
            Replacement.OfNode(graph, use.Node, _ => use.Node.Inputs[1 - use.Index]!);
            graph.Remove(product);
        }
        last.Output.ReplaceUsesWith(all);
        graph.Remove(last);
    }

    /// <summary>The same order forward and backward, so that what is joined is joined once.</summary>
    private static List<(Node Node, Value Factor)> Ordered(IReadOnlyList<(Node Node, Value Factor)> products) =>
        [.. products.OrderBy(p => p.Factor.Name, StringComparer.Ordinal)];

    private void Split(GraphBuilder build, List<(Node Node, Value Factor)> products, Value all, int axis)
    {
        long[] sizes = [.. products.Select(p => p.Node.Output.Shape!.Sizes[axis])];
        var parts = build.Node("parts", "Split", [all, build.Constant("sizes", Tensor.Int64s(sizes))], products.Count, "", [Ir.Attribute.Of("axis", (long)axis)]);
        foreach (var ((product, _), part) in products.Zip(parts.Outputs))
            Replacement.OfNode(graph, product, _ => part);
    }

    /// <summary>The rows of all factors, joined as parameters and cast once to what an operand of the products is.</summary>
    private Value Factors(List<(Node Node, Value Factor)> products, int operand)
    {
        var type = products[0].Node.Inputs[operand]!.Type;
        var key = string.Join('\n', products.Select(p => p.Factor.Name).Append(type.Name()));
        if (_joined.TryGetValue(key, out var made))
            return made;
        var front = GraphBuilder.Before(graph.Nodes.First(), products[0].Factor.Name); // parameters alone
        var rows = front.Op("joined", "Concat", [.. products.Select(p => p.Factor)], Ir.Attribute.Of("axis", 0L));
        return _joined[key] = rows.Type == type ? rows : front.Op($"joined/{type.Name()}", "Cast", [rows], Ir.Attribute.Of("to", (long)type));
    }

    private Value Columns(GraphBuilder build, List<(Node Node, Value Factor)> products)
    {
        var key = string.Join('\n', products.Select(p => p.Node.Inputs[0]!.Name));
        return _joined.TryGetValue(key, out var made) ? made
            : _joined[key] = build.Op("gradients", "Concat", [.. products.Select(p => p.Node.Inputs[0])], Ir.Attribute.Of("axis", 1L));
    }
}
