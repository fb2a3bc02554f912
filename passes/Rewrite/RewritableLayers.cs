using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>The linear layers that rotation and quantization work on: all but the head, which stays in full precision.</summary>
internal static class RewritableLayers
{
    /// <summary>The layers; what is passed over is told to <paramref name="context"/>.</summary>
    /// <exception cref="PassException">There is none: what was asked for cannot be done.</exception>
    public static IReadOnlyList<LinearLayer> In(Model model, PassContext context, string pass)
    {
        var (layers, skipped) = LinearGemms.In(model.Graph);
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
        return [.. layers.Where(l => !l.IsHead)];
    }
}
