using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Rotates a matrix by a Hadamard matrix and rounds the result to 8-bit codes under one scale, without keeping it.</summary>
/// <remarks>
/// X (R, C), float32, float16 or bfloat16 -> Q (R, C), scale () float32, transposed? (C, R). <see cref="CustomOps.HadamardTransform"/>, whose result is rounded
/// to the type of X, then <see cref="CustomOps.Quantize"/> by its largest magnitude: the same bits. Attributes: axis, blocks, inverse; format, transposed.
/// A NaN in X makes the scale NaN.
/// </remarks>
public sealed class HadamardQuantize : HaloOperator
{
    /// <summary>Blocks that a GPU has one kernel for, and what rows and columns are multiples of where codes are given in both orders.</summary>
    private const long LeastBlock = 256, MostBlock = 4096, RowTile = 16;

    public override string OpType => nameof(HadamardQuantize);

    public override string Schema =>
        "HadamardQuantize(X: T) -> Q: C, scale: float, transposed?: C; T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8";

    public override OperatorRole Role => new OperatorRole.Codes("format") { RotatedBy = new OperatorRole.Rotation("axis") };

    public override RecomputeKind? Recompute => RecomputeKind.Quantize;

    /// <summary>Whether a GPU has one kernel for both (hadamard_quantize_rows_takes), which it takes where the matrix is large enough to fill it: the rotated
    /// tensor takes no memory then.</summary>
    /// <param name="rotation">A <see cref="CustomOps.HadamardTransform"/>, or a node of this operator.</param>
    /// <param name="format">The name of the codes' format.</param>
    /// <param name="isBoth">Codes are given in both orders.</param>
    public static bool IsOneKernel(Node rotation, string format, bool isBoth) =>
        rotation.Inputs[0] is { Type: ElementType.BFloat16 or ElementType.Float16, Shape: { Rank: 2, IsStatic: true } shape } && format != NumberFormat.E3M2.Name
        && rotation.Int("axis", 1) == 1 && rotation.Int("inverse", 0) == 0 && rotation.Ints("blocks") is { Count: > 0 } blocks
        && blocks[0] is var block and >= LeastBlock and <= MostBlock && long.IsPow2(block) && blocks.All(other => other == block)
        && (!isBoth || (shape.Sizes[0] % RowTile == 0 && shape.Sizes[1] % (block == MostBlock ? MostBlock : MostBlock / 2) == 0));

    public override void InferShapes(Node node)
    {
        CustomOps.HadamardTransform.RequireBlocks("hadamard-quantize", node);
        CustomOps.Quantize.InferCodes("hadamard-quantize", node);
    }

    public override FunctionBody Body(Node node)
    {
        var isBoth = CustomOps.Quantize.IsBoth(node);
        var body = new FunctionBody("X")
        {
            AttributeNames = ["axis", "blocks", "inverse", "format"],
            AttributeDefaults = isBoth ? [Attribute.Of("transposed", 1L)] : [],
            Prefix = "rotated.",
        };
        var (y, type) = (CustomOps.HadamardTransform.Rotated(body, node), node.Inputs[0]!.Type);
        var absmax = body.AbsoluteMax("largest", y, type);
        body.Prefix = "codes.";
        var (codes, scale) = CustomOps.Quantize.Encoded(body, body.ToFloat("x", y, type), absmax, CustomOps.Quantize.FormatOf(node));
        body.Output("Q", codes).Output("scale", scale);
        return isBoth ? body.Output("transposed", CustomOps.Quantize.Turned(body, codes)) : body;
    }
}

/// <summary>Makes <see cref="CustomOps.HadamardQuantize"/> nodes.</summary>
public static class HadamardQuantizeExtensions
{
    /// <summary>Rotates <paramref name="x"/> as <see cref="HadamardTransformExtensions.HadamardTransform"/> does and gives codes of that, in both orders where
    /// <paramref name="transposed"/>.</summary>
    /// <returns>The node: codes, scale and codes transposed.</returns>
    public static Node HadamardQuantize(
        this GraphBuilder build, Value x, int axis, IReadOnlyList<long> blocks, bool inverse, NumberFormat format, bool transposed, string name)
    {
        HaloOperators.RequireFloat("hadamard-quantize", x);
        return HaloOperators.Call(build, name, nameof(HadamardQuantize), [x], transposed ? 3 : 2,
            $"{CustomOps.HadamardTransform.Overload(axis, blocks, inverse, x.Type)}_{format.Name}{(transposed ? "_transposed" : "")}",
            [
                Attribute.Of("axis", (long)axis), Attribute.Of("blocks", blocks), Attribute.Of("inverse", inverse ? 1L : 0L), Attribute.Of("format", format.Name),
                .. transposed ? (Attribute[])[Attribute.Of("transposed", 1L)] : [],
            ]);
    }
}
