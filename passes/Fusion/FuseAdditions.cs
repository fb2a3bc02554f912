using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>A sum is taken where one of its terms is made: by an 8-bit product, or by the gradient of a norm.</summary>
/// <remarks>
/// Add(a, ScaledMatMul(..)) becomes ScaledMatMul(.., a): the residual stream, and the input gradients of layers that read one tensor, which need no additions
/// then. Add(a, dX of RmsNormGrad(..)) becomes RmsNormGrad(.., a): the gradient of the residual stream. The term is no longer rounded before it is added. For
/// graphs that run on a GPU, where each addition reads two tensors and writes a third.
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
        var term = add.Inputs.Select((x, i) => (Value: x!, Addend: add.Inputs[1 - i]!)).Where(t => TakesAddend(t.Value)).ToList();
        if (term.Count == 0)
            return false;
        if (term.FirstOrDefault(t => PlaceOf(t.Addend) < PlaceOf(t.Value)) is not { Value: { Producer: { } maker } value, Addend: var addend })
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
        maker.AddInput(addend);
        maker.Overload = maker.OpType == nameof(ScaledMatMul) ? ScaledMatMul.Overload(value.Type, adds: true) : HaloOperators.OverloadOf(maker, adds: true);
        HaloOperators.EnsureFunction(maker);
        Replacement.OfNode(model.Graph, add, _ => value);
        return true;

        int PlaceOf(Value x) => x.Producer is { } producer ? places[producer] : -1;
    }

    /// <summary>Whether the sum alone reads this product or gradient, which has no addend yet.</summary>
    private static bool TakesAddend(Value value) => value is { IsGraphOutput: false, Uses.Count: 1, ProducerIndex: 0, Producer: { } maker }
        && (maker.Is(nameof(ScaledMatMul), HaloDomain.Name) || maker.Is(nameof(RmsNormGrad), HaloDomain.Name)) && maker.Inputs.Count == 4;
}
