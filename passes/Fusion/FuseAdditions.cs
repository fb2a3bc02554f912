using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>A sum is taken where one of its terms is made: by an 8-bit product, by a product with an adapter's factor, or by the gradient of a norm.</summary>
/// <remarks>
/// Add(a, ScaledMatMul(..)) becomes ScaledMatMul(.., a): the residual stream, and the input gradients of layers that read one tensor, which need no additions
/// then. Add(a, dX of RmsNormGrad(..)) becomes RmsNormGrad(.., a): the gradient of the residual stream. Add(a, s X B), B a factor of an adapter, becomes
/// Gemm(X, B, a): the gradients of a base's layer and of its adapter. A product that has an addend already takes another where that is made by a product with a
/// factor, as C of that: base + (s X B + a), the residual stream behind an adapter. The term is no longer rounded before it is added. For graphs that run on a
/// GPU, where each addition reads two tensors and writes a third.
/// </remarks>
public sealed record FuseAdditions() : IGraphPass
{
    /// <summary>What two roundings to bfloat16 less move a tensor by, and through its codes what is computed from it.</summary>
    private const double Bound = 1.0 / 32;

    public string Name => "fuse-additions";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var places = model.Graph.Nodes.Select((node, place) => (node, place)).ToDictionary(pair => pair.node, pair => pair.place);
        return new PassResult(model.Graph.Nodes.Where(n => n.Is("Add")).ToList().Count(add => Fuse(model, context, add, places)));
    }

    private static bool Fuse(Model model, PassContext context, Node add, Dictionary<Node, int> places)
    {
        var terms = add.Inputs.Select((x, i) => (Value: x!, Addend: add.Inputs[1 - i]!, Maker: MakerOf(x!))).Where(t => t.Maker is not null).ToList();
        if (terms.Count == 0)
            return false;
        if (terms.FirstOrDefault(t => PlaceOf(t.Addend) < places[t.Maker!]) is not { Value: { } value, Maker: { } maker, Addend: var addend })
        {
            context.Skip(add, "what would be added comes later than what it would be added to");
            return false;
        }
        if (addend.Type != value.Type || addend.Shape is not { IsStatic: true } shape || value.Shape is not { } own || !shape.Equals(own))
        {
            context.Skip(add, "terms of different types or sizes, or sizes that are not fixed");
            return false;
        }
        context.Step(maker, $"add '{addend.Name}' where it is summed");
        Give(maker, addend);
        Replacement.OfNode(model.Graph, add, _ => value);
        return true;

        int PlaceOf(Value x) => x.Producer is { } producer ? places[producer] : -1;
    }

    private static void Give(Node maker, Value addend)
    {
        maker.AddInput(addend);
        if (maker.Domain.Length == 0)
        {
            maker.OpType = "Gemm"; // of a MatMul of two matrices the same product
            return;
        }
        maker.Overload = maker.OpType == nameof(ScaledMatMul) ? ScaledMatMul.Overload(maker.Output.Type, adds: true) : HaloOperators.OverloadOf(maker, adds: true);
        HaloOperators.EnsureFunction(maker);
    }

    /// <summary>
    /// The node that can add something to this product or gradient, which the sum alone reads: the one that makes it, or the one that makes the addend that it has.
    /// </summary>
    private static Node? MakerOf(Value value)
    {
        if (value is not { IsGraphOutput: false, Uses.Count: 1, ProducerIndex: 0, Producer: { } maker })
            return null;
        if (IsOfFactor(maker))
            return maker;
        var isProduct = maker.Is(nameof(ScaledMatMul), HaloDomain.Name);
        if (!isProduct && !maker.Is(nameof(RmsNormGrad), HaloDomain.Name))
            return null;
        return maker.Inputs.Count == 4 ? maker
            : isProduct && maker.Inputs[4] is { IsGraphOutput: false, Uses.Count: 1, Producer: { } other } && IsOfFactor(other) ? other : null;
    }

    /// <summary>A product of two matrices without an addend, the right one an adapter's factor, in whatever type.</summary>
    private static bool IsOfFactor(Node node) => (node.Is("MatMul") || node.Is("Gemm")) && node.Inputs.Count == 2 && node.Output.Shape is { Rank: 2 }
        && node.Inputs[0]!.Shape is { Rank: 2 } && FactorOf(node.Inputs[1]!) is { Shape.Rank: 2 };

    /// <summary>The factor that a value is, or is a cast of, or the first of those that it joins (<see cref="JoinFactors"/>).</summary>
    private static Value? FactorOf(Value value) => value.IsGraphInput ? AdapterNames.IsFactor(value.Name) ? value : null
        : value.Producer is { } node && (node.Is("Cast") || node.Is("Concat")) ? FactorOf(node.Inputs[0]!) : null;
}
