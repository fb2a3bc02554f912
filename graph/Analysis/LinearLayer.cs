using Halo.Ir;

namespace Halo.Analysis;

/// <summary>The three products of a linear layer Y = X W^T. [HALO, section 3]</summary>
public enum GemmRole
{
    /// <summary>Forward: Y (b, n) = X (b, m) W^T.</summary>
    F,

    /// <summary>Error: E_X (b, m) = E_Y (b, n) W (n, m).</summary>
    E,

    /// <summary>Gradient: G_W (n, m) = E_Y^T (n, b) X (b, m).</summary>
    G,
}

/// <summary>The axes of a product Y (M, N) = A (M, K) B (K, N).</summary>
public enum GemmAxis
{
    M,
    N,
    K,
}

/// <summary>A matrix as a product reads it: the tensor before any Transpose, and whether it is read transposed.</summary>
/// <param name="Matrix">The tensor; all but its last axis count as rows.</param>
/// <param name="IsTransposed">The product reads the transpose.</param>
/// <param name="Root">The tensor behind rotations, quantization, casts and reshapes: two operands of one root are the same tensor.</param>
/// <param name="RotatedAxes">Axes of the matrix (0 or 1) that a Hadamard rotation has been applied to.</param>
/// <param name="Format">The code type, if the product reads 8-bit codes.</param>
public sealed record GemmOperand(Value Matrix, bool IsTransposed, Value Root, IReadOnlySet<int> RotatedAxes, string? Format)
{
    /// <summary>Columns of the matrix as it lies, before any transposition.</summary>
    public Dim Columns => Matrix.Shape![-1];
}

/// <summary>One product of a linear layer, in the orientation of <see cref="GemmRole"/> whatever the graph's own is.</summary>
/// <param name="Role">Which of the three it is.</param>
/// <param name="Node">The product that computes it.</param>
/// <param name="A">The left operand: X for F, E_Y for E and G.</param>
/// <param name="B">The right operand: W for F and E, X for G.</param>
/// <param name="Output">The value that holds the product: the node's output, or the sum over the batch that follows it.</param>
/// <param name="IsFlipped">The node computes the transpose of the product: G written as X^T E_Y.</param>
public sealed record LinearGemm(GemmRole Role, Node Node, GemmOperand A, GemmOperand B, Value Output, bool IsFlipped)
{
    /// <summary>Both operands are 8-bit codes.</summary>
    public bool IsQuantized => A.Format is not null && B.Format is not null;

    /// <summary>The axis of the left operand's matrix that is <paramref name="axis"/> of the product; null for N.</summary>
    public int? AxisOfA(GemmAxis axis) => axis switch
    {
        GemmAxis.M => A.IsTransposed ? 1 : 0,
        GemmAxis.K => A.IsTransposed ? 0 : 1,
        _ => null,
    };

    /// <summary>The axis of the right operand's matrix that is <paramref name="axis"/> of the product; null for M.</summary>
    public int? AxisOfB(GemmAxis axis) => axis switch
    {
        GemmAxis.K => B.IsTransposed ? 1 : 0,
        GemmAxis.N => B.IsTransposed ? 0 : 1,
        _ => null,
    };

    /// <summary>Some operand of the product is already rotated along this axis.</summary>
    public bool IsRotated(GemmAxis axis) =>
        (AxisOfA(axis) is { } a && A.RotatedAxes.Contains(a)) || (AxisOfB(axis) is { } b && B.RotatedAxes.Contains(b));

    /// <summary>The axis counts tokens: its length follows from the batch, not from the model.</summary>
    public bool IsTokenAxis(GemmAxis axis) => Role == GemmRole.G ? axis == GemmAxis.K : axis == GemmAxis.M;
}

/// <summary>A weight with the products it takes part in.</summary>
/// <param name="Weight">The parameter: a graph input, or an initializer of a forward graph.</param>
/// <param name="IsFrozen">The graph gives no gradient for it, so there is no G.</param>
/// <param name="IsHead">Its output reaches the loss with no parameter between: the lm_head, which stays in full precision.</param>
/// <param name="Gemms">F, then E, then G; more than one of a role where the weight is used several times.</param>
public sealed record LinearLayer(Value Weight, bool IsFrozen, bool IsHead, IReadOnlyList<LinearGemm> Gemms)
{
    /// <summary>The weight's name without <c>.weight</c>.</summary>
    public string Name => Weight.Name.EndsWith(".weight", StringComparison.Ordinal) ? Weight.Name[..^7] : Weight.Name;

    public IEnumerable<LinearGemm> Of(GemmRole role) => Gemms.Where(g => g.Role == role);
}

/// <summary>A product that is part of no linear layer.</summary>
/// <param name="Node">The product.</param>
/// <param name="Reason">Why it is none.</param>
public sealed record SkippedProduct(Node Node, string Reason);
