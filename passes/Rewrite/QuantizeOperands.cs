using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>Gives each linear product operands in 8 bits: a (tensor, rotation, format) is quantized once and every product reads its codes.</summary>
/// <remarks>
/// F reads Q(X) Q(W), E reads Q(E_Y) Q(W), G reads Q(E_Y) Q(X). What the backward part needs of X and W is kept as the codes that the
/// forward part made, in 8 bits. Scales are absmax over the whole tensor. [HALO, section 3]
/// </remarks>
/// <param name="Format">Formats of the operands, by product.</param>
/// <param name="Layers">Other formats for some layers.</param>
public sealed record QuantizeOperands(GemmFormats Format, LayerRules<GemmFormats>? Layers = null) : IGraphPass
{
    /// <summary>An output that keeps less than this of its signal was not quantized but destroyed; measured on real exports, passes/README.md.</summary>
    private const double SignalFloorDb = 3;

    public string Name => "quantize-operands";

    public ValueEffect Effect => new ValueEffect.Quantizing(SignalFloorDb);

    public PassResult Run(Model model, PassContext context) => new(RewritableLayers.Rewrite(model, context, Name, Layers, Format,
        (layer, gemm, format) => Quantize(context, layer, gemm, format[gemm.Role]) ? 1 : 0));

    private bool Quantize(PassContext context, LinearLayer layer, LinearGemm gemm, (NumberFormat Left, NumberFormat Right)? formats)
    {
        if (formats is not { } wanted)
            return false;
        if (gemm.IsQuantized)
        {
            if (gemm.A.Format != wanted.Left.Name || gemm.B.Format != wanted.Right.Name)
            {
                throw new PassException(Name, gemm.Node, $"{gemm.Role} of {layer.Name}",
                    $"operands that are not quantized, or in {wanted.Left}, {wanted.Right}",
                    $"{gemm.A.Format}, {gemm.B.Format}", "Start from the graph as it was exported.");
            }
            context.Skip(gemm.Node, "already quantized");
            return false;
        }
        context.Step(gemm.Node, $"quantize {gemm.Role} of {layer.Name} to {wanted.Left}, {wanted.Right}");
        CanonicalGemm.Make(layer, gemm).Quantize(wanted.Left, wanted.Right);
        return true;
    }
}
