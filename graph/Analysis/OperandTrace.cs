using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>Follows a product's operand back through what leaves its content the same: transposes, reshapes, casts, rotations, codes.</summary>
internal static class OperandTrace
{
    /// <summary>Outputs, behind the codes, of what makes codes.</summary>
    private const int ScaleIndex = 1, TransposedIndex = 2;

    private static readonly IReadOnlySet<int> NoAxes = new HashSet<int>();

    /// <summary>The two operands of a plain product as they lie before transposition; null for any other node.</summary>
    public static (GemmOperand A, GemmOperand B)? Operands(Node node) => node.Facts.Role is OperatorRole.Product { IsPlain: true } product
        ? (Operand(product, node.Inputs[product.A]!, node.Int("transA", 0) != 0), Operand(product, node.Inputs[product.B]!, node.Int("transB", 0) != 0))
        : null;

    /// <summary>The tensor behind everything that only moves, casts, rotates or encodes its elements.</summary>
    public static Value Root(Value value)
    {
        while (value.Producer is { } node && (node.Facts.Role is OperatorRole.View { KeepsContent: true } or OperatorRole.Rotation or OperatorRole.Ordering
            || (node.Facts.Role is OperatorRole.Codes && value.ProducerIndex != ScaleIndex)))
            value = node.Inputs[0]!;
        return value;
    }

    /// <summary>Only moves or casts elements.</summary>
    public static bool IsView(Node node) => node.Facts.Role is OperatorRole.View { KeepsContent: true };

    private static GemmOperand Operand(OperatorRole.Product product, Value value, bool transposed) =>
        product.ReadsCodes ? Codes(value, transposed) : Matrix(value, transposed);

    private static GemmOperand Matrix(Value value, bool transposed)
    {
        for (; value.Producer is { } node; value = node.Inputs[0]!)
        {
            if (IsMatrixTranspose(node))
                transposed = !transposed;
            else if (!node.Is("Identity") && node.Facts.Role is not OperatorRole.Ordering)
                break;
        }
        return new GemmOperand(value, transposed, Root(value), RotatedAxes(value), null);
    }

    private static GemmOperand Codes(Value codes, bool transposed)
    {
        if (codes.Producer is not { Facts.Role: OperatorRole.Codes role } quantize)
            return new GemmOperand(codes, transposed, Root(codes), NoAxes, codes.Type.Name());
        var matrix = quantize.Inputs[0]!;
        transposed ^= codes.ProducerIndex == TransposedIndex;
        var axes = role.RotatedBy is { } rotation ? RotatedAxes(matrix).Append(rotation.AxisOf(quantize)).ToHashSet() : RotatedAxes(matrix);
        return new GemmOperand(matrix, transposed, Root(matrix), axes, role.FormatOf(quantize));
    }

    private static IReadOnlySet<int> RotatedAxes(Value value)
    {
        HashSet<int>? axes = null;
        for (; value.Producer is { Facts.Role: OperatorRole.Rotation rotation } node; value = node.Inputs[0]!)
            (axes ??= []).Add(rotation.AxisOf(node));
        return axes ?? NoAxes;
    }

    /// <summary>A Transpose that swaps the last two axes and leaves the others in place.</summary>
    public static bool IsMatrixTranspose(Node node)
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
