using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>Puts the Hadamard rotations of a HALO scheme around each linear product, to spread outliers before quantization.</summary>
/// <remarks>
/// Rotating Y = A B along one axis touches exactly the two tensors that have it: A (M, K), B (K, N), Y (M, N). With H H^T = I:
///   K (middle): Y = (A H)(H^T B).   M (left): Y = H ((H^T A) B).   N (right): Y = (A (B H)) H^T.   [HALO, Table 1]
/// Runs before quantize-operands: after the cast it would spread the rounding error as well.
/// </remarks>
/// <param name="Scheme">Axes to rotate, by product.</param>
/// <param name="Layers">Other schemes for some layers.</param>
/// <param name="MaxTokenBlock">Largest block of a rotation along tokens; their number follows from the batch and may be large.</param>
public sealed record RotateOperands(HaloScheme Scheme, LayerRules<HaloScheme>? Layers = null, long MaxTokenBlock = 1024) : IGraphPass
{
    /// <summary>Two rotations of each operand and one of the output, in float32, stay well below this.</summary>
    private const double RelativeErrorBound = 1e-5;

    public string Name => "rotate-operands";

    public ValueEffect Effect => new ValueEffect.Reassociating(RelativeErrorBound);

    public void Requires(Model model)
    {
        if (MaxTokenBlock < 1)
            throw new PassException(Name, "max-token-block", "at least 1", $"{MaxTokenBlock}", "Leave it out for blocks of up to 1024 tokens.");
    }

    public PassResult Run(Model model, PassContext context) => new(RewritableLayers.Rewrite(model, context, Name, Layers, Scheme,
        (layer, gemm, scheme) => Rotate(context, layer, gemm, scheme[gemm.Role])));

    private int Rotate(PassContext context, LinearLayer layer, LinearGemm gemm, IReadOnlyList<GemmAxis> axes)
    {
        var wanted = axes.Where(axis => !gemm.IsRotated(axis)).ToList();
        foreach (var axis in axes.Except(wanted))
            context.Skip(gemm.Node, $"already rotated along {axis}");
        if (wanted.Count == 0)
            return 0;
        if (gemm.A.Format is not null)
        {
            throw new PassException(Name, gemm.Node, $"{gemm.Role} of {layer.Name}", "an operand that is not quantized yet", "8-bit codes",
                "Rotate before quantizing: start from the graph as it was exported.");
        }
        var blocks = wanted.ToDictionary(axis => axis, axis => Blocks(layer, gemm, axis)); // sizes first: an unknown one must leave the graph as it is
        var canonical = CanonicalGemm.Make(layer, gemm);
        foreach (var axis in wanted)
        {
            context.Step(canonical.Node, $"rotate {gemm.Role} of {layer.Name} along {axis} = {string.Join(" + ", blocks[axis])}");
            canonical.Rotate(axis, blocks[axis]);
        }
        return wanted.Count;
    }

    private long[] Blocks(LinearLayer layer, LinearGemm gemm, GemmAxis axis)
    {
        var (operand, matrixAxis) = gemm.AxisOfA(axis) is { } a ? (gemm.A, a) : (gemm.B, gemm.AxisOfB(axis)!.Value);
        var shape = operand.Matrix.Shape;
        var size = matrixAxis == 1 ? shape?[-1].Size : shape is { Rank: >= 2 } ? new Shape(shape.Take(shape.Rank - 1)).ElementCount : null;
        if (size is not { } known)
        {
            throw new PassException(Name, gemm.Node, $"{gemm.Role} of {layer.Name}", $"a known size along {axis}", shape?.ToString() ?? "an unknown shape",
                "Give the graph static shapes, or choose a scheme that does not rotate along this axis.");
        }
        return Hadamard.Blocks(known, gemm.IsTokenAxis(axis) ? MaxTokenBlock : long.MaxValue);
    }
}
