using Halo.Ir;

namespace Halo.Operators;

/// <summary>Matrix products.</summary>
internal static class ProductOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "MatMul")
        {
            Shapes = i => i.Set(i.Type(0), Product(i, i.Shape(0), i.Shape(1))),
            FreeSizes = FreeMatMul,
            Role = new OperatorRole.Product(0, 1),
            Precision = PrecisionClass.Narrow,
        },
        new("", "Gemm") { Shapes = Gemm, FreeSizes = FreeGemm, Role = new OperatorRole.Product(0, 1), Precision = PrecisionClass.Narrow },
        new("", "Einsum") { Shapes = Einsum, Precision = PrecisionClass.Narrow },
        new("", "MatMulInteger") { Shapes = i => i.Set(ElementType.Int32, Product(i, i.Shape(0), i.Shape(1))) },
        new("", "QLinearMatMul") { Shapes = i => i.Set(i.Type(7), Product(i, i.Shape(0), i.Shape(3))) },
        new("com.microsoft", "FusedMatMul") { Shapes = FusedMatMul, Role = new OperatorRole.Product(0, 1) { IsPlain = false } },
        new("com.microsoft", "MatMulNBits") { Shapes = MatMulNBits },
    ];

    /// <summary>com.microsoft: a MatMul whose operands may be transposed in their last two axes, or by batch.</summary>
    public static void FusedMatMul(NodeInference i)
    {
        if (i.Node.Int("transBatchA", 0) == 1 || i.Node.Int("transBatchB", 0) == 1)
            i.Set(i.Type(0), null);
        else
            i.Set(i.Type(0), Product(i, Transposed(i.Shape(0), i.Node.Int("transA", 0)), Transposed(i.Shape(1), i.Node.Int("transB", 0))));
    }

    /// <summary>com.microsoft: (..., K) by N rows of codes, K and N attributes.</summary>
    public static void MatMulNBits(NodeInference i)
    {
        var (k, n) = (i.Node.Int("K", 0), i.Node.Int("N", 0));
        if (i.Shape(0) is { } a && (a.Rank == 0 || (a[^1].IsKnown && a[^1] != k)))
            throw i.Error($"rows of K = {k}", $"{a}");
        i.Set(i.Type(0), i.Shape(0) is { } x ? new Shape([.. x.Take(x.Rank - 1), n]) : null);
    }

    private static Shape? Transposed(Shape? x, long flag) =>
        x is null || flag == 0 || x.Rank < 2 ? x : new Shape([.. x.Take(x.Rank - 2), x[^1], x[^2]]);

    /// <summary>(..., M, K) by (..., K, N): batch axes broadcast; a vector gains an axis that is dropped again.</summary>
    private static Shape? Product(NodeInference i, Shape? a, Shape? b)
    {
        if (a is null || b is null)
            return null;
        if (a.Rank == 0 || b.Rank == 0)
            throw i.Error("two operands with axes", $"{a} and {b}");
        var (k, other) = (a[^1], b.Rank == 1 ? b[0] : b[^2]);
        if (k.IsKnown && other.IsKnown && k != other)
            throw i.Error("one size to contract over", $"{a} and {b}");
        var batch = ElementwiseOperators.Broadcast(i, new Shape(a.Take(a.Rank - 2)), new Shape(b.Take(b.Rank - 2)));
        return new Shape([.. batch, .. a.Rank > 1 ? [a[^2]] : Array.Empty<Dim>(), .. b.Rank > 1 ? [b[^1]] : Array.Empty<Dim>()]);
    }

    private static void Gemm(NodeInference i)
    {
        var (a, b) = (Transposed(i.Shape(0), i.Node.Int("transA", 0)), Transposed(i.Shape(1), i.Node.Int("transB", 0)));
        if (a is { Rank: not 2 } || b is { Rank: not 2 })
            throw i.Error("two matrices", $"{a} and {b}");
        i.Set(i.Type(0), a is null && b is null ? null : a is null || b is null ? new Shape([a?[0] ?? default, b?[1] ?? default]) : Product(i, a, b));
    }

    /// <summary>An equation without an ellipsis: each letter is one size.</summary>
    private static void Einsum(NodeInference i)
    {
        var sides = i.Node.String("equation", "").Replace(" ", "", StringComparison.Ordinal).Split("->");
        var terms = sides[0].Split(',');
        if (sides[0].Contains('.') || terms.Length != i.Node.Inputs.Count)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var sizes = new Dictionary<char, Dim>();
        for (var t = 0; t < terms.Length; t++)
        {
            if (i.Shape(t) is { } shape && shape.Rank != terms[t].Length)
                throw i.Error($"rank {terms[t].Length} for '{terms[t]}'", shape.ToString());
            for (var axis = 0; axis < terms[t].Length; axis++)
            {
                var letter = terms[t][axis];
                if (!DimArithmetic.TryBroadcast(sizes.GetValueOrDefault(letter, 1), i.Shape(t)?[axis] ?? Dim.Unknown, out var size))
                    throw i.Error($"one size for '{letter}'", string.Join(" and ", i.Node.Inputs.Select(v => v?.Shape)));
                sizes[letter] = size;
            }
        }
        var output = sides.Length > 1 ? sides[1] : string.Concat(sizes.Keys.Where(c => sides[0].Count(x => x == c) == 1).Order());
        i.Set(i.Type(0), new Shape(output.Select(c => sizes[c])));
    }

    private static IReadOnlyList<FreeSize>? FreeMatMul(FreeOperands x) =>
        x.OnlyFree(0) && x.Sizes[1]!.Count == 2 && !x.Sizes[0]![^1].IsFree ? [.. x.Sizes[0]!.SkipLast(1), x.Sizes[1]![1]] : null;

    private static IReadOnlyList<FreeSize>? FreeGemm(FreeOperands x)
    {
        if (!x.OnlyFree(0) || x.Node.Int("transA", 0) != 0 || x.Sizes[0]![1].IsFree)
            return null;
        var columns = x.Sizes[1]![x.Node.Int("transB", 0) != 0 ? 0 : 1];
        var bias = x.Sizes.Count > 2 ? x.Sizes[2] : null;
        return bias is null || bias.SkipLast(1).All(s => s.Was == 1) ? [x.Sizes[0]![0], columns] : null;
    }
}
