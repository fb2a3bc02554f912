using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>The linear layers that rotation and quantization work on: all but the head, which stays in full precision.</summary>
internal static class RewritableLayers
{
    /// <summary>Rewrites each product of each layer by the layer's setting and gives the sum of the rewrites.</summary>
    /// <exception cref="HaloException">There is no layer, or a rule without effect.</exception>
    public static int Rewrite<T>(Model model, PassContext context, string pass, LayerRules<T>? rules, T otherwise,
        Func<LinearLayer, LinearGemm, T, int> rewrite) where T : class, IOptionText<T>
    {
        var layers = In(model, context, pass, out var heads);
        rules?.Check(pass, [.. layers.Select(l => l.Name)], heads, otherwise);
        return layers.Sum(layer => layer.Gemms.Sum(gemm => rewrite(layer, gemm, rules?.For(layer.Name, otherwise) ?? otherwise)));
    }

    /// <summary>The layers; what is passed over is told to <paramref name="context"/>.</summary>
    /// <exception cref="PassException">There is none: what was asked for cannot be done.</exception>
    private static List<LinearLayer> In(Model model, PassContext context, string pass, out IReadOnlyList<string> heads)
    {
        var (layers, skipped) = LinearGemms.In(model.Graph);
        foreach (var factor in layers.Where(l => AdapterNames.IsFactor(l.Weight.Name)))
            context.Skip(factor.Gemms[0].Node, "adapters stay in full precision");
        layers = [.. layers.Where(l => !AdapterNames.IsFactor(l.Weight.Name))];
        heads = [.. layers.Where(l => l.IsHead).Select(l => l.Name)];
        foreach (var product in skipped)
            context.Skip(product.Node, product.Reason);
        foreach (var head in layers.Where(l => l.IsHead))
            context.Skip(head.Gemms[0].Node, "the head stays in full precision");
        if (layers.All(l => l.IsHead))
        {
            throw new PassException(pass, "the graph", "a linear layer: a product of an activation with a weight",
                $"{layers.Count} heads and {skipped.Count} other products",
                "Check that parameters are graph inputs or initializers of rank 2, and that the graph is a training or forward graph of a LLaMA.");
        }
        return [.. layers.Where(l => !l.IsHead).Select(l => l with { Gemms = [.. l.Gemms.Where(IsKnown)] })];

        bool IsKnown(LinearGemm gemm)
        {
            var reason = CanonicalGemm.WhyNot(gemm);
            if (reason is not null)
                context.Skip(gemm.Node, reason);
            return reason is null;
        }
    }
}
