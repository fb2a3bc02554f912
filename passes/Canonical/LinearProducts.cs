using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;

namespace Halo.Passes.Canonical;

/// <summary>Every linear layer of a forward graph as one Gemm of rows with the weight as it lies: Y (N, F) = X (N, C) W (F, C)^T.</summary>
/// <remarks>
/// An exporter's Transpose of the weight, a copy of it in every step where the weight is an input, becomes a flag. Gradients of a Gemm are two Gemms.
/// </remarks>
internal static class LinearProducts
{
    public static int Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var layer in LinearGemms.In(model.Graph).Layers)
        {
            foreach (var gemm in layer.Gemms.Where(g => g.Node.Graph is not null))
            {
                if (gemm.A.Matrix.Shape is not { IsStatic: true })
                {
                    context.Skip(gemm.Node, $"its rows {gemm.A.Matrix.Shape} are not of known number");
                    continue;
                }
                if (CanonicalGemm.WhyNot(gemm) is { } reason)
                {
                    context.Skip(gemm.Node, reason);
                    continue;
                }
                var read = gemm.Node.Inputs.OfType<Value>().ToList();
                var node = CanonicalGemm.Make(layer, gemm).Node;
                if (node == gemm.Node)
                    continue;
                context.Step(node, $"multiply the rows of {layer.Name} in one Gemm");
                DeadNodes.Sweep(model.Graph, read);
                rewrites++;
            }
        }
        return rewrites;
    }
}
