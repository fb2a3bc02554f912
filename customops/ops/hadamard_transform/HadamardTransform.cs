using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Rotates a matrix along one axis by an orthonormal block-diagonal Hadamard matrix H.</summary>
/// <remarks>
/// X (R, C) -> Y (R, C), float32, float16 or bfloat16, absmax? () float32. Along axis 1 Y = X H, inverse Y = X H^T; along axis 0 Y = H^T X, inverse
/// Y = H X; absmax = max |y|.
/// Attributes: axis (0 or 1), blocks (sizes that sum to the axis), inverse (0 or 1); absmax, 1 where that is wanted.
/// The body uses H_n = H_n1 (x) H_n2: two products of n1 and n2 multiplications per element in place of n, and no transpose.
/// Types other than float32 have overloads of their own, which compute in float32 and round once.
/// </remarks>
public sealed class HadamardTransform : HaloOperator
{
    /// <summary>Up to this block size one dense product is faster than two by Kronecker factors (results/kernels.md).</summary>
    private const long MaxDense = 128;

    public override string OpType => nameof(HadamardTransform);

    public override string Schema => "HadamardTransform(X: T) -> Y: T, absmax?: float; T: float, float16, bfloat16";

    public static string Overload(long axis, IReadOnlyList<long> blocks, bool inverse, ElementType type) =>
        $"axis{axis}_{string.Join('_', Runs(blocks).Select(run => run.Count == 1 ? $"{run.Block}" : $"{run.Block}x{run.Count}"))}"
        + (inverse ? "_inverse" : "") + (type == ElementType.Float ? "" : $"_{type.Name()}");

    public override int Maxima => 1;

    internal override string OverloadWithMaxima(Node node) =>
        Overload(node.Int("axis", 1), node.Ints("blocks")!, node.Int("inverse", 0) == 1, node.Inputs[0]!.Type)
        + (HaloOperators.GivesAbsoluteMax(node) ? "_absmax" : "");

    public override OperatorRole Role => new OperatorRole.Rotation("axis");

    public override RecomputeKind? Recompute => RecomputeKind.Quantize;

    public override IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x) => !x.Sizes[0]![(int)x.Node.Int("axis", 1)].IsFree ? x.Sizes[0] : null;

    public override void InferShapes(Node node)
    {
        RequireBlocks("hadamard-transform", node);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);
        if (HaloOperators.GivesAbsoluteMax(node))
            (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, Shape.Scalar);
    }

    /// <summary>Throws unless X is a matrix whose axis the blocks sum to.</summary>
    internal static void RequireBlocks(string op, Node node)
    {
        var x = node.Inputs[0]!;
        var (axis, blocks) = ((int)node.Attributes["axis"].Int, node.Attributes["blocks"].Ints);
        if (x.Shape is { } shape && (shape.Rank != 2 || (shape[axis].Size is { } size && size != blocks.Sum())))
        {
            throw new HaloException(op, node.ToString(), $"a matrix of {blocks.Sum()} along axis {axis}", x.Shape.ToString(),
                "Rewrite the graph at this size.");
        }
    }

    public override FunctionBody Body(Node node)
    {
        var hasMax = HaloOperators.GivesAbsoluteMax(node);
        var body = new FunctionBody("X") { AttributeNames = ["axis", "blocks", "inverse", .. hasMax ? (string[])["absmax"] : []] };
        var (y, type) = (Rotated(body, node), node.Inputs[0]!.Type);
        body.Output("Y", y == body.Input(0) ? body.Op("copy", "Identity", [y]) : y);
        return hasMax ? body.Output("absmax", body.AbsoluteMax("largest", y, type)) : body;
    }

    /// <summary>Writes Y of a node with these attributes: of the type of X, or X itself where every block is 1.</summary>
    internal static Value Rotated(FunctionBody body, Node node)
    {
        var (axis, inverse) = (node.Attributes["axis"].Int, node.Attributes["inverse"].Int == 1);
        var type = node.Inputs[0]!.Type;
        var runs = Runs(node.Attributes["blocks"].Ints).ToArray();
        var x = type == ElementType.Float ? body.Input(0) : body.Cast("x", body.Input(0), ElementType.Float);
        var parts = runs.Length == 1 ? [x] : body.Split("part", x, axis, [.. runs.Select(run => run.Block * run.Count)]);
        var rotated = runs.Zip(parts, (run, part) => Rotate(body, $"block{run.Block}", part, axis, run.Block, run.Count, inverse)).ToArray();
        var y = rotated.Length == 1 ? rotated[0] : body.Op("y", "Concat", rotated, Attribute.Of("axis", axis));
        return body.FromFloat("rounded", y, type);
    }

    private static Value Rotate(FunctionBody body, string name, Value x, long axis, long block, long count, bool inverse)
    {
        if (block == 1)
            return x;
        var (n1, n2) = block <= MaxDense ? (block, 1) : Hadamard.Factors(block);
        if (axis == 1)
        {
            var right = Factor(body, name + ".right", n2 == 1 ? n1 : n2, transposed: inverse);
            if (n2 == 1 && count == 1)
                return body.Op(name, "MatMul", [x, right]);
            var folded = body.Op(name + ".folded", "Reshape", [x, Sizes(body, name + ".inner", n2 == 1 ? [-1, n1] : [-1, n1, n2])]);
            var y = body.Op(name + ".y2", "MatMul", [folded, right]);
            if (n2 > 1)
                y = body.Op(name + ".y1", "MatMul", [Factor(body, name + ".left", n1, transposed: !inverse), y]);
            return body.Op(name, "Reshape", [y, Sizes(body, name + ".outer", [-1, block * count])]);
        }
        if (n2 > 1)
        {
            x = body.Op(name + ".folded2", "Reshape", [x, Sizes(body, name + ".inner2", [n1 * count, n2, -1])]);
            x = body.Op(name + ".y2", "MatMul", [Factor(body, name + ".left2", n2, transposed: !inverse), x]);
        }
        if (n2 > 1 || count > 1)
            x = body.Op(name + ".folded1", "Reshape", [x, Sizes(body, name + ".inner1", count == 1 ? [n1, -1] : [count, n1, -1])]);
        x = body.Op(n2 > 1 || count > 1 ? name + ".y1" : name, "MatMul", [Factor(body, name + ".left1", n1, transposed: !inverse), x]);
        return n2 > 1 || count > 1 ? body.Op(name, "Reshape", [x, Sizes(body, name + ".outer", [block * count, -1])]) : x;
    }

    private static Value Sizes(FunctionBody body, string name, ReadOnlySpan<long> sizes) => body.Constant(name, Tensor.Int64s(sizes));

    private static Value Factor(FunctionBody body, string name, long n, bool transposed)
    {
        var dense = Hadamard.Dense(n);
        var elements = new float[n * n];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
                elements[i * n + j] = (float)(transposed ? dense[j, i] : dense[i, j]);
        }
        return body.Constant(name, Tensor.Floats([n, n], elements));
    }

    /// <summary>Equal neighbours are one run, rotated together.</summary>
    private static IEnumerable<(long Block, long Count)> Runs(IReadOnlyList<long> blocks)
    {
        for (var i = 0; i < blocks.Count;)
        {
            var start = i;
            while (i < blocks.Count && blocks[i] == blocks[start])
                i++;
            yield return (blocks[start], i - start);
        }
    }
}

/// <summary>Makes <see cref="CustomOps.HadamardTransform"/> nodes.</summary>
public static class HadamardTransformExtensions
{
    /// <summary>Rotates <paramref name="x"/>, or undoes that (<c>inverse</c>), by blocks such as <see cref="Hadamard.Blocks"/> gives.</summary>
    public static Value HadamardTransform(this GraphBuilder build, Value x, int axis, IReadOnlyList<long> blocks, bool inverse, string name)
    {
        if (axis is not (0 or 1) || blocks.Count == 0 || !blocks.All(Hadamard.IsConstructible))
        {
            throw new HaloException("hadamard-transform", $"'{x.Name}'", "axis 0 or 1 and blocks with a Hadamard matrix",
                $"axis {axis}, blocks [{string.Join(", ", blocks)}]", "Take the blocks from Hadamard.Blocks.");
        }
        HaloOperators.RequireFloat("hadamard-transform", x);
        return HaloOperators.Call(build, name, nameof(HadamardTransform), [x], 1, CustomOps.HadamardTransform.Overload(axis, blocks, inverse, x.Type),
            Attribute.Of("axis", (long)axis), Attribute.Of("blocks", blocks), Attribute.Of("inverse", inverse ? 1L : 0L)).Output;
    }
}
