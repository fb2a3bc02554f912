using static Halo.Tests.Passes.Gradients.GradientCase;

namespace Halo.Tests.Passes.Gradients;

internal static class ReductionCases
{
    private static readonly Attribute Drop = Attribute.Of("keepdims", 0L);

    public static IEnumerable<GradientCase> All { get; } =
    [
        .. new[] { "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp" }.SelectMany(Of),
        new("positive", "ReduceLogSum", [Positive(2, 3, 4), Ints(1)]),
        new("positive, dropped", "ReduceLogSum", [Positive(2, 3), Ints(-1)], Drop),
        new("empty", "ReduceSum", [X(0, 3), Ints(1)]),
        new("over an empty axis", "ReduceSum", [X(2, 0), Ints(1)]),
        new("empty", "ReduceMean", [X(0, 3), Ints(1)]),
        new("a scalar", "ReduceSum", [X()]),
    ];

    private static IEnumerable<GradientCase> Of(string name) =>
    [
        new("last axis", name, [X(2, 3, 4), Ints(-1)]),
        new("two axes, dropped", name, [X(2, 3, 4), Ints(-1, 0)], Drop),
        new("first axis, dropped", name, [X(2, 3), Ints(0)], Drop),
        new("all axes", name, [X(2, 3)]),
        new("all axes, dropped", name, [X(2, 3)], Drop),
        new("no axes, nothing folded", name, [X(2, 3), Ints()], Attribute.Of("noop_with_empty_axes", 1L)),
        new("size 1", name, [X(2, 1), Ints(1)]),
    ];
}
