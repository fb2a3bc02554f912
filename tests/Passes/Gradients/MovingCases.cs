using Halo.Ir;
using static Halo.Tests.Passes.Gradients.GradientCase;

namespace Halo.Tests.Passes.Gradients;

internal static class MovingCases
{
    public static IEnumerable<GradientCase> All { get; } =
    [
        new("default", "Transpose", [X(2, 3, 4)]),
        new("a cycle", "Transpose", [X(2, 3, 4)], Attribute.Of("perm", [1L, 2, 0])),
        new("to other axes", "Reshape", [X(2, 6), Ints(3, -1)]),
        new("a copied size", "Reshape", [X(2, 6), Ints(0, 2, 3)]),
        new("empty", "Reshape", [X(0, 6), Ints(3, 0)], Attribute.Of("allowzero", 1L)),
        new("a middle axis", "Flatten", [X(2, 3, 4)], Attribute.Of("axis", 2L)),
        new("a negative axis", "Flatten", [X(2, 3, 4)], Attribute.Of("axis", -1L)),
        new("given axes", "Squeeze", [X(1, 3, 1), Ints(-1)]),
        new("all axes of size 1", "Squeeze", [X(1, 3, 1)]),
        new("two axes", "Unsqueeze", [X(2, 3), Ints(0, -1)]),
        new("new and stretched axes", "Expand", [X(3, 1), Ints(2, 3, 4)]),
        new("a scalar", "Expand", [X(), Ints(2, 3)]),
        new("a smaller shape", "Expand", [X(2, 3), Ints(1)]),
        new("two axes", "Tile", [X(2, 3), Ints(3, 2)]),
        new("one repeat", "Tile", [X(2, 3), Ints(1, 1)]),
        new("of size 1", "Tile", [X(1, 3), Ints(4, 1)]),
        new("three parts", "Concat", [X(2, 3), X(2, 1), X(2, 2)], Attribute.Of("axis", 1L)),
        new("a negative axis, one part twice", "Concat", [X(2, 3), Again(0)], Attribute.Of("axis", -2L)),
        new("an empty part", "Concat", [X(2, 3), X(2, 0)], Attribute.Of("axis", 1L)),
        new("given sizes", "Split", [X(2, 5), Ints(2, 3)], Attribute.Of("axis", 1L)) { OutputCount = 2 },
        new("equal parts", "Split", [X(5, 2)], Attribute.Of("num_outputs", 3L)) { OutputCount = 3 },
        new("one part used", "Split", [X(2, 5), Ints(2, 3)])
        {
            Build = (build, x) => build.Node("parts", "Split", [x[0], x[1]], 2, "", Attribute.Of("axis", -1L)).Outputs[1],
        },
        new("a range", "Slice", [X(4, 5), Ints(1), Ints(3), Ints(0)]),
        new("all axes", "Slice", [X(4, 5), Ints(1, 2), Ints(3, 4)]),
        new("negative limits", "Slice", [X(4, 5), Ints(-3), Ints(-1), Ints(-1)]),
        new("to the end", "Slice", [X(4, 5), Ints(2), Ints(long.MaxValue), Ints(1)]),
        new("a step", "Slice", [X(4, 7), Ints(1), Ints(7), Ints(1), Ints(2)]),
        new("a step that leaves a rest", "Slice", [X(7), Ints(0), Ints(6), Ints(0), Ints(3)]),
        new("backwards", "Slice", [X(4, 5), Ints(-1), Ints(long.MinValue), Ints(1), Ints(-1)]),
        new("backwards by two", "Slice", [X(4, 6), Ints(4), Ints(0), Ints(1), Ints(-2)]),
        new("backwards from beyond", "Slice", [X(6), Ints(100), Ints(1), Ints(0), Ints(-2)]),
        new("one element backwards", "Slice", [X(6), Ints(3), Ints(2), Ints(0), Ints(-1)]),
        new("two axes, one backwards", "Slice", [X(4, 5), Ints(0, 3), Ints(4, 0), Ints(0, 1), Ints(3, -1)]),
        new("nothing", "Slice", [X(4, 5), Ints(3), Ints(2), Ints(0)]),
        new("all", "Slice", [X(4, 5), Ints(0), Ints(5), Ints(1)]),
        new("both sides", "Pad", [X(2, 3), Ints(1, 0, 2, 1)]),
        new("a constant and axes", "Pad", [X(2, 3), Ints(2, 1), Number(7), Ints(-1)]),
        new("cut", "Pad", [X(4, 5), Ints(-1, 1, 0, -2)]),
        new("upper", "Trilu", [X(3, 4)]),
        new("lower, a diagonal", "Trilu", [X(2, 3, 3), new() { Constant = Tensor.Scalar(-1L) }], Attribute.Of("upper", 0L)),
        new("forward", "CumSum", [X(2, 3), new() { Constant = Tensor.Scalar(1L) }]),
        new("exclusive, reversed", "CumSum", [X(2, 3), new() { Constant = Tensor.Scalar(-2L) }], Attribute.Of("exclusive", 1L),
            Attribute.Of("reverse", 1L)),
    ];
}
