using Halo.Analysis;
using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Matrix products.</summary>
/// <remarks>
/// Of Y = A B: E_A = E_Y B^T, E_B = A^T E_Y. Where B is a matrix, as weights are, the leading axes of A and Y become rows, so that the gradient of
/// B is one product and not one for each batch row, summed. A Transpose in front of an operand is read through: its input gets the gradient.
/// </remarks>
internal static class ProductGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["MatMul"] = g =>
        {
            var (a, b, d) = (g.In(0), g.In(1), g.D);
            if (a.Shape!.Rank > 1 && b.Shape!.Rank > 1)
                Product(g, Through(a, false), Through(b, false), d, 1);
            else
                WithVector(g, a, b, d);
        },
        ["Gemm"] = g =>
        {
            var (alpha, beta) = (g.Node.Float("alpha", 1), g.Node.Float("beta", 1));
            Product(g, Through(g.In(0), g.Node.Int("transA", 0) != 0), Through(g.In(1), g.Node.Int("transB", 0) != 0), g.D, alpha);
            g.Add(2, () => beta == 1 ? g.D : g.Op("Mul", g.D, g.Scalar(beta, g.D)));
        },
    };

    /// <summary>com.microsoft: a MatMul with transposed operands and a factor.</summary>
    public static void FusedMatMul(NodeGradient g)
    {
        if (g.Node.Int("transBatchA", 0) != 0 || g.Node.Int("transBatchB", 0) != 0)
            throw g.Refused("operands that lie in order of their batch", "transBatchA or transBatchB", "Put a Transpose in front of the product.");
        if (g.In(0).Shape!.Rank < 2 || g.In(1).Shape!.Rank < 2)
            throw g.Refused("operands of rank 2 or more", $"{g.In(0).Shape} and {g.In(1).Shape}", "Use MatMul for vectors.");
        Product(g, Through(g.In(0), g.Node.Int("transA", 0) != 0), Through(g.In(1), g.Node.Int("transB", 0) != 0), g.D, g.Node.Float("alpha", 1));
    }

    /// <summary>An operand: a tensor that is read as it lies, or with its last two axes transposed.</summary>
    /// <param name="Value">The tensor.</param>
    /// <param name="IsTransposed">The product reads the transpose.</param>
    /// <param name="Target">What gets the gradient: the tensor, or what it is a view of.</param>
    private readonly record struct Factor(Value Value, bool IsTransposed, Value Target)
    {
        public Factor Flipped => this with { IsTransposed = !IsTransposed };

        public int Rank => Value.Shape!.Rank;
    }

    private static Factor Through(Value value, bool transposed)
    {
        while (value.Producer is { } node && OperandTrace.IsMatrixTranspose(node))
            (value, transposed) = (node.Inputs[0]!, !transposed);
        return new Factor(value, transposed, value);
    }

    /// <summary>A vector on the left is a row, one on the right a column; the product has no axis for either.</summary>
    private static void WithVector(NodeGradient g, Value a, Value b, Value d)
    {
        var (left, right) = (a.Shape!.Sizes, b.Shape!.Sizes);
        var (isRow, isColumn) = (left.Length == 1, right.Length == 1);
        var batch = d.Shape!.Sizes.AsSpan(0, d.Shape!.Rank - (isRow ? 0 : 1) - (isColumn ? 0 : 1)).ToArray();
        var full = g.Reshape(d, [.. batch, isRow ? 1 : left[^2], isColumn ? 1 : right[^1]]);
        Product(g, new Factor(isRow ? g.Reshape(a, 1, left[0]) : a, false, a), new Factor(isColumn ? g.Reshape(b, right[0], 1) : b, false, b), full, 1);
    }

    private static void Product(NodeGradient g, Factor a, Factor b, Value d, float alpha)
    {
        if (b.Rank == 2 && a.Rank > 2 && !a.IsTransposed)
        {
            var sizes = a.Value.Shape!.Sizes;
            var rows = sizes.SkipLast(1).Aggregate(1L, (x, y) => x * y);
            d = g.Reshape(d, rows, d.Shape!.Sizes[^1]);
            // Only the gradient of B reads the elements of A.
            a = a with { Value = g.Needs(b.Target) ? g.Reshape(a.Value, rows, sizes[^1]) : a.Value };
        }
        var y = new Factor(d, false, d);
        g.Add(a.Target, () => View(g, a.IsTransposed ? Multiply(g, b, y.Flipped, alpha) : Multiply(g, y, b.Flipped, alpha), a));
        g.Add(b.Target, () => View(g, b.IsTransposed ? Multiply(g, y.Flipped, a, alpha) : Multiply(g, a.Flipped, y, alpha), b));
    }

    /// <summary>The gradient of an operand, summed over the batch axes that it has not, in the shape of what it is a view of.</summary>
    private static Value View(NodeGradient g, Value gradient, Factor factor)
    {
        if (factor.Value.Shape!.ElementCount == gradient.Shape!.ElementCount)
            return g.Reshape(gradient, factor.Target.Shape!.Sizes);
        return g.Reshape(g.SumTo(gradient, factor.Value.Shape), factor.Target.Shape!.Sizes);
    }

    private static Value Multiply(NodeGradient g, Factor a, Factor b, float alpha)
    {
        if (a.Rank == 2 && b.Rank == 2)
        {
            if (!a.IsTransposed && !b.IsTransposed && alpha == 1)
                return g.Op("MatMul", a.Value, b.Value);
            var attributes = new List<Attribute>();
            if (alpha != 1)
                attributes.Add(Attribute.Of("alpha", alpha));
            if (a.IsTransposed)
                attributes.Add(Attribute.Of("transA", 1L));
            if (b.IsTransposed)
                attributes.Add(Attribute.Of("transB", 1L));
            return g.Op("Gemm", [a.Value, b.Value], [.. attributes]);
        }
        var product = g.Op("MatMul", a.IsTransposed ? g.Transposed(a.Value) : a.Value, b.IsTransposed ? g.Transposed(b.Value) : b.Value);
        return alpha == 1 ? product : g.Op("Mul", product, g.Scalar(alpha, product));
    }
}
