using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>Products of one tensor with weights of few bits, MatMulNBits of ONNX Runtime, as one node of com.halo's PackedProducts.</summary>
/// <remarks>
/// Gate and up become one with SwiGlu behind them. Query, key and value become one that gives them side by side, which GroupQueryAttention takes as its query
/// where key and value are left out. Weights stay the tensors they are: nothing is copied. [ONNX Runtime, docs/ContribOperators.md]
/// </remarks>
internal sealed class JoinedProducts(Model model, PassContext context)
{
    private const string Domain = "com.microsoft";
    private const int Attended = 3; // query, key and value

    private readonly Dictionary<(Value Target, long Width), Value> _targets = [];

    /// <summary>How many nodes were made.</summary>
    public int Run()
    {
        var rewrites = 0;
        foreach (var unit in model.Graph.Nodes.Where(n => n.Is(nameof(SwiGlu), HaloDomain.Name)).ToList())
            rewrites += Join(unit, Gated(unit)) ? 1 : 0;
        foreach (var attention in model.Graph.Nodes.Where(n => n.Is("GroupQueryAttention", Domain) && n.Input(1) is not null).ToList())
            rewrites += Join(attention, Packed(attention)) ? 1 : 0;
        return rewrites;
    }

    private bool Join(Node node, string? reason)
    {
        if (reason is not null)
            context.Skip(node, reason);
        return reason is null;
    }

    /// <summary>Null, or why the unit stays as it is.</summary>
    private string? Gated(Node unit)
    {
        var products = unit.Inputs.Take(2).Select(x => x!.Producer).ToList();
        if (unit.Outputs.Count > 1 || products[0] == products[1] || WhyNot(products) is not null)
            return WhyNot(products) ?? "it gives more than its result, or reads one product twice";
        context.Step(unit, "multiply by gate and up at once");
        Replacement.OfNode(model.Graph, unit, _ => Product(GraphBuilder.Before(unit), products, gated: true, unit.Name + "/products"));
        Remove(products);
        return null;
    }

    private string? Packed(Node attention)
    {
        var operands = attention.Inputs.Take(Attended).ToList();
        var reshapes = operands.ConvertAll(x => x?.Producer is { } node && node.Is("Reshape") && x.OnlyUser is not null && !x.IsGraphOutput ? node : null);
        if (reshapes.Exists(r => r is null))
            return "query, key and value are not products alone";
        var products = reshapes.ConvertAll(r => r!.Inputs[0]!.Producer);
        if (products.Distinct().Count() < Attended || WhyNot(products) is not null)
            return WhyNot(products) ?? "it reads one product twice";
        var widths = products.ConvertAll(p => p!.Output.Shape?[^1].Size);
        if (widths.Contains(null) || TargetOf(attention, reshapes[0]!, widths[0]!.Value, widths.Sum()!.Value) is not { } target)
            return "the sizes of its query are computed in another way";
        context.Step(attention, "multiply by query, key and value at once");
        var build = GraphBuilder.Before(attention);
        var packed = build.Op("packed", "Reshape", [Product(build, products, gated: false, "products"), target]);
        attention.ReplaceInput(0, packed);
        attention.ReplaceInput(1, null);
        attention.ReplaceInput(2, null);
        foreach (var reshape in reshapes)
            model.Graph.Remove(reshape!);
        Remove(products);
        return null;
    }

    private static Value Product(GraphBuilder build, List<Node?> products, bool gated, string name)
    {
        var first = products[0]!;
        var weights = products.ConvertAll(p => new PackedWeight(p!.Inputs[1]!, p.Inputs[2]!, p.Input(3), p.Input(5)));
        return build.PackedProducts(first.Inputs[0]!, weights, first.Int("bits", 4), first.Int("block_size", 0), gated, name);
    }

    private void Remove(List<Node?> products)
    {
        foreach (var product in products)
            model.Graph.Remove(product!);
    }

    /// <summary>Why products are not one; null where they are: of one tensor, coded alike, each read once.</summary>
    private string? WhyNot(List<Node?> products)
    {
        if (products.Exists(p => p?.Is("MatMulNBits", Domain) != true || p.Output.OnlyUser is null || p.Output.IsGraphOutput))
            return "not products with weights of few bits that are read here alone";
        if (model.Opset < HaloDomain.MinOpset)
            return $"opset {model.Opset} is older than functions need";
        var first = products[0]!;
        return products.TrueForAll(p => p!.Inputs[0] == first.Inputs[0] && p.Int("bits", 4) == first.Int("bits", 4)
            && p.Int("block_size", 0) == first.Int("block_size", 0) && p.Input(4) is null && (p.Input(3) is null) == (first.Input(3) is null)
            && p.Input(3)?.Type is null or ElementType.UInt8) && first.Inputs[0]!.Shape?[^1].Size is not null
            && products.TrueForAll(HasRows) ? null : "the products read other tensors, or weights that are coded otherwise";
    }

    /// <summary>Whether codes, scales and zeros have a row for each row of W, as other programs may write them in one axis.</summary>
    private static bool HasRows(Node? product) => product is { } node && node.Inputs[1]!.Shape is { Rank: 3, IsStatic: true }
        && node.Inputs[2]!.Shape is { Rank: 2 } && node.Input(3)?.Shape is null or { Rank: 2 };

    /// <summary>
    /// The sizes that a Reshape gives, the last of them, <paramref name="own"/>, made <paramref name="width"/>; layers share them. Null where they are not known.
    /// </summary>
    private Value? TargetOf(Node attention, Node reshape, long own, long width)
    {
        var target = reshape.Inputs[1]!;
        if (_targets.TryGetValue((target, width), out var known))
            return known;
        var (build, concat) = (GraphBuilder.Before(attention), target.Producer);
        var numbers = target.Integers() ?? (concat?.Is("Concat") == true ? concat.Inputs[^1]!.Integers() : null);
        if (numbers is not { Length: > 0 } || numbers[^1] != own)
            return null;
        var last = build.Constant("packed/sizes", Tensor.Int64s([.. numbers[..^1], width]));
        return _targets[(target, width)] = target.Integers() is not null ? last
            : build.Op("packed/target", "Concat", [.. concat!.Inputs.SkipLast(1), last], Ir.Attribute.Of("axis", 0L));
    }
}
