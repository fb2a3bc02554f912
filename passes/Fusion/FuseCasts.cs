using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>Casts around 8-bit products become part of them: a product is rounded where it is summed, a float32 weight is quantized as it is.</summary>
/// <remarks>
/// Cast(ScaledMatMul) to 16 bits becomes a ScaledMatMul of that type, with the same bits. Where the cast is read by one cast back to float32 alone, as the
/// gradient of a float32 master is, both go, and the gradient keeps its bits. Quantize(Cast(W)) of a float32 W reads W itself: rounded once, not twice.
/// </remarks>
public sealed record FuseCasts() : IGraphPass
{
    /// <summary>What rounding to bfloat16 moves a tensor by, at most: half a unit of 8 bits, relative to each element.</summary>
    private const double Bound = 1.0 / 256;

    public string Name => "fuse-casts";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in model.Graph.Nodes.Where(n => n.Domain == HaloDomain.Name).ToList())
        {
            if (node.OpType == nameof(ScaledMatMul) && RoundingOf(node) is { } rounding)
                rewrites += Round(model, context, node, rounding);
            else if (node.OpType == nameof(Quantize) && node.Inputs[0]!.Producer is { } cast && IsNarrowing(cast))
                rewrites += Widen(model, context, node, cast);
        }
        return new PassResult(rewrites);
    }

    /// <summary>The one reader of a float32 product, where that is a cast to 16 bits.</summary>
    private static Node? RoundingOf(Node product) => product.Output is { IsGraphOutput: false, Type: ElementType.Float, Uses: [{ Node: { } only }] }
        && IsNarrowing(only) ? only : null;

    private static bool IsNarrowing(Node node) => node.Is("Cast") && node.Inputs[0]!.Type == ElementType.Float
        && node.Output.Type is ElementType.Float16 or ElementType.BFloat16;

    private static int Round(Model model, PassContext context, Node product, Node rounding)
    {
        var graph = model.Graph;
        var last = rounding.Output is { IsGraphOutput: false, Uses: [{ Node: { } only }] } && only.Is("Cast") && only.Output.Type == ElementType.Float ? only : null;
        context.Step(product, last is null ? $"round where it is summed, to {rounding.Output.Type.Name()}" : "keep float32");
        Replacement.OfNode(graph, last ?? rounding, _ => product.Output);
        if (last is not null)
        {
            graph.Remove(rounding);
            return 1;
        }
        var to = (ElementType)rounding.Int("to", 0);
        product.Attributes["to"] = Attribute.Of("to", (long)to);
        (product.Overload, product.Output.Type) = (ScaledMatMul.Overload(to), to);
        HaloOperators.EnsureFunction(product);
        return 1;
    }

    private static int Widen(Model model, PassContext context, Node quantize, Node cast)
    {
        if (cast.Output.IsGraphOutput || cast.Output.Uses.Any(u => !u.Node.Is(nameof(Quantize), HaloDomain.Name)))
        {
            context.Skip(quantize, "others read what it quantizes in 16 bits");
            return 0;
        }
        context.Step(quantize, "quantize float32");
        quantize.ReplaceInput(0, cast.Inputs[0]);
        quantize.Overload = Quantize.OverloadOf(quantize);
        HaloOperators.EnsureFunction(quantize);
        if (cast.Output.Uses.Count == 0)
            model.Graph.Remove(cast);
        return 1;
    }
}
