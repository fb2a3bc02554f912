using Halo.Ir;
using static Halo.Tests.Passes.Gradients.GradientCase;

namespace Halo.Tests.Passes.Gradients;

internal static class ProductCases
{
    private static readonly Attribute TransA = Attribute.Of("transA", 1L);

    private static readonly Attribute TransB = Attribute.Of("transB", 1L);

    public static IEnumerable<GradientCase> All { get; } =
    [
        new("matrices", "MatMul", [X(2, 3), X(3, 4)]),
        new("rows in a batch", "MatMul", [X(2, 5, 3), X(3, 4)]),
        new("rows in two batch axes", "MatMul", [X(2, 1, 5, 3), X(3, 4)]),
        new("a batch of both", "MatMul", [X(2, 5, 3), X(2, 3, 4)]),
        new("a batch on the right", "MatMul", [X(5, 3), X(2, 3, 4)]),
        new("broadcast batches", "MatMul", [X(2, 1, 5, 3), X(4, 3, 2)]),
        new("one in a batch", "MatMul", [X(2, 5, 3), X(1, 3, 4)]),
        new("two vectors", "MatMul", [X(3), X(3)]),
        new("a vector on the left", "MatMul", [X(3), X(3, 4)]),
        new("a vector on the right", "MatMul", [X(2, 3), X(3)]),
        new("a vector and a batch", "MatMul", [X(3), X(2, 3, 4)]),
        new("a batch and a vector", "MatMul", [X(2, 5, 3), X(3)]),
        new("an input twice", "MatMul", [X(3, 3), Again(0)]),
        new("size 1", "MatMul", [X(1, 1), X(1, 1)]),
        new("no rows", "MatMul", [X(0, 3), X(3, 4)]),
        new("no rows in a batch", "MatMul", [X(2, 0, 3), X(3, 4)]),
        new("a weight read transposed", "MatMul", [X(2, 5, 3), X(4, 3)])
        {
            Build = (build, x) => build.Op("y", "MatMul", [x[0], build.Op("t", "Transpose", [x[1]], Attribute.Of("perm", [1L, 0L]))]),
        },
        new("both operands read transposed", "MatMul", [X(2, 3, 5), X(2, 4, 3)])
        {
            Build = (build, x) => build.Op("y", "MatMul", [Swap(build, x[0]!), Swap(build, x[1]!)]),
        },
        new("a transpose that another node reads as well", "MatMul", [X(2, 3), X(4, 3)])
        {
            Build = (build, x) =>
            {
                var t = build.Op("t", "Transpose", [x[1]]);
                return build.Op("sum", "MatMul", [build.Op("y", "MatMul", [x[0], t]), build.Op("s", "Mul", [x[1], build.Op("u", "Transpose", [t])])]);
            },
        },
        .. from a in new[] { false, true }
           from b in new[] { false, true }
           from bias in new Argument?[] { null, X(2, 4), X(4), X(2, 1), X() }
           select new GradientCase($"{(a ? "A^T" : "A")} {(b ? "B^T" : "B")}, bias [{string.Join(',', bias?.Sizes ?? [-1])}]", "Gemm",
               [a ? X(3, 2) : X(2, 3), b ? X(4, 3) : X(3, 4), bias], Attribute.Of("transA", a ? 1L : 0L), Attribute.Of("transB", b ? 1L : 0L)),
        new("factors", "Gemm", [X(2, 3), X(4, 3), X(4)], Attribute.Of("alpha", 0.5f), Attribute.Of("beta", -2f), TransB),
        new("no rows", "Gemm", [X(0, 3), X(4, 3), X(4)], TransB),
        .. from a in new[] { false, true }
           from b in new[] { false, true }
           select new GradientCase($"{(a ? "A^T" : "A")} {(b ? "B^T" : "B")} in a batch", "com.microsoft.FusedMatMul",
               [a ? X(2, 3, 5) : X(2, 5, 3), b ? X(4, 3) : X(3, 4)], Attribute.Of("alpha", 0.5f), Attribute.Of("transA", a ? 1L : 0L),
               Attribute.Of("transB", b ? 1L : 0L)) { Type = ElementType.Float },
        new("matrices", "com.microsoft.FusedMatMul", [X(3, 2), X(3, 4)], TransA) { Type = ElementType.Float },
    ];

    private static Value Swap(Building.GraphBuilder build, Value x) => build.Op("t", "Transpose", [x], Attribute.Of("perm", [0L, 2, 1]));
}
