using Halo.Ir;

namespace Halo.Analysis;

/// <summary>Follows a product's operand back through what leaves its content the same: transposes, reshapes, casts, rotations, codes.</summary>
public static class OperandTrace
{
    /// <summary>The domain of the operators that rotate and quantize (customops).</summary>
    internal const string HaloDomain = "com.halo";

    private static readonly IReadOnlySet<int> NoAxes = new HashSet<int>();

    /// <summary>The two operands of a MatMul, Gemm or ScaledMatMul as they lie before transposition; null for any other node.</summary>
    public static (GemmOperand A, GemmOperand B)? Operands(Node node)
    {
        if (node.Is("ScaledMatMul", HaloDomain))
            return (Codes(node.Inputs[0]!, node.Int("transA", 0) != 0), Codes(node.Inputs[2]!, node.Int("transB", 0) != 0));
        if (node.Is("Gemm"))
            return (Matrix(node.Inputs[0]!, node.Int("transA", 0) != 0), Matrix(node.Inputs[1]!, node.Int("transB", 0) != 0));
        return node.Is("MatMul") ? (Matrix(node.Inputs[0]!, false), Matrix(node.Inputs[1]!, false)) : null;
    }

    /// <summary>The tensor behind everything that only moves, casts, rotates or encodes its elements.</summary>
    public static Value Root(Value value)
    {
        while (value.Producer is { } node && (IsView(node) || IsRotation(node) || IsBarrier(node) || (IsQuantize(node) && value.ProducerIndex == 0)))
            value = node.Inputs[0]!;
        return value;
    }

    public static bool IsRotation(Node node) => node.Is("HadamardTransform", HaloDomain);

    /// <summary>Gives what it reads, later.</summary>
    public static bool IsBarrier(Node node) => node.Is("Barrier", HaloDomain);

    public static bool IsQuantize(Node node) => node.Is("Quantize", HaloDomain);

    public static bool IsView(Node node) =>
        node.IsStandard && node.OpType is "Transpose" or "Reshape" or "Cast" or "Identity" or "Squeeze" or "Unsqueeze" or "Flatten";

    private static GemmOperand Matrix(Value value, bool transposed)
    {
        for (; value.Producer is { } node; value = node.Inputs[0]!)
        {
            if (IsMatrixTranspose(node))
                transposed = !transposed;
            else if (!node.Is("Identity") && !IsBarrier(node))
                break;
        }
        return new GemmOperand(value, transposed, Root(value), RotatedAxes(value), null);
    }

    private static GemmOperand Codes(Value codes, bool transposed)
    {
        if (codes.Producer is not { } quantize || !IsQuantize(quantize))
            return new GemmOperand(codes, transposed, Root(codes), NoAxes, codes.Type.Name());
        var matrix = quantize.Inputs[0]!;
        return new GemmOperand(matrix, transposed, Root(matrix), RotatedAxes(matrix), quantize.String("format", ""));
    }

    private static IReadOnlySet<int> RotatedAxes(Value value)
    {
        if (value.Producer is not { } first || !IsRotation(first))
            return NoAxes;
        var axes = new HashSet<int>();
        for (; value.Producer is { } node && IsRotation(node); value = node.Inputs[0]!)
            axes.Add((int)node.Int("axis", 1));
        return axes;
    }

    /// <summary>A Transpose that swaps the last two axes and leaves the others in place.</summary>
    private static bool IsMatrixTranspose(Node node)
    {
        if (!node.Is("Transpose"))
            return false;
        var perm = node.Ints("perm");
        if (perm is null)
            return node.Output.Shape is { Rank: 2 } || node.Inputs[0]!.Shape is { Rank: 2 };
        var rank = perm.Count;
        return rank >= 2 && perm[rank - 1] == rank - 2 && perm[rank - 2] == rank - 1 && perm.Take(rank - 2).Index().All(p => p.Item == p.Index);
    }
}
