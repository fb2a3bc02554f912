using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>What computes a tensor that is quantized gives its largest magnitude as well, so that Quantize reads the tensor once.</summary>
/// <remarks>
/// Quantize(Y), Y of a norm, of SwiGlu, of their gradients, of a rotation or of a rotary embedding, through any reordering of its elements, becomes
/// Quantize(Y, absmax). A maximum is one of the elements, in whatever order it is found: the scale keeps its bits. A NaN in Y now makes the scale NaN, where
/// only its own code was. For graphs that run on a GPU; behind fuse-additions, since it is the sum that is quantized.
/// </remarks>
public sealed record FuseProducers() : IGraphPass
{
    public string Name => "fuse-producers";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context) =>
        new(model.Graph.Nodes.Where(n => n.Is(nameof(Quantize), HaloDomain.Name) && n.Inputs.Count == 1).ToList().Count(n => Fuse(model, context, n)));

    private static bool Fuse(Model model, PassContext context, Node quantize)
    {
        var made = Unordered(quantize.Inputs[0]!);
        if (made.Producer is not { } maker || Maximum(model, maker, made.ProducerIndex) is not { } absmax)
        {
            context.Skip(quantize, $"'{made.Name}' is made by nothing that gives its largest magnitude");
            return false;
        }
        context.Step(quantize, $"take the largest magnitude from {maker}");
        quantize.AddInput(absmax);
        quantize.Overload = Quantize.OverloadOf(quantize);
        HaloOperators.EnsureFunction(quantize);
        return true;
    }

    /// <summary>The tensor whose elements, in another order, <paramref name="value"/> has.</summary>
    private static Value Unordered(Value value)
    {
        while (value.Producer is { } node && (node.Is("Reshape") || node.Is("Transpose") || node.Is("Flatten") || node.Is("Squeeze") || node.Is("Unsqueeze")))
            value = node.Inputs[0]!;
        return value;
    }

    /// <summary>The output of <paramref name="maker"/> that is the maximum of its output <paramref name="index"/>; null where it gives none of that.</summary>
    private static Value? Maximum(Model model, Node maker, int index)
    {
        if (HaloOperators.Of(maker) is not { Maxima: var maxima } || index >= maxima)
            return null;
        return maker.Int("absmax", 0) != 0 ? maker.Outputs[maker.Outputs.Count - maxima - (int)maker.Int("again", 0) + index] : WithMaxima(model, maker).Outputs[maker.Outputs.Count + index];
    }

    /// <summary>Puts a node that gives its maxima in place of one that does not.</summary>
    private static Node WithMaxima(Model model, Node maker)
    {
        var (own, names) = (maker.Name, maker.Outputs.Select(o => o.Name).ToList());
        var made = HaloOperators.WithMaxima(GraphBuilder.Before(maker, ""), maker, names[0] + Replacement.Suffix);
        Replacement.OfNode(model.Graph, maker, old => made.Outputs[old.ProducerIndex]);
        for (var i = 0; i < made.Outputs.Count; i++)
        {
            var name = i < names.Count ? names[i] : $"{names[i - names.Count]}/absmax";
            if (made.Outputs[i].Name != name)
                model.Graph.Rename(made.Outputs[i], model.Graph.FreeName(name));
        }
        made.Name = own;
        return made;
    }
}
