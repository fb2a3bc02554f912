using Halo.Ir;
using static Halo.Tests.Passes.Gradients.GradientCase;

namespace Halo.Tests.Passes.Gradients;

internal static class IndexingCases
{
    private static readonly Attribute Adding = Attribute.Of("reduction", "add");

    public static IEnumerable<GradientCase> All { get; } =
    [
        new("rows, repeated and negative", "Gather", [X(5, 3), Index([2, 3], 1, 4, 1, -1, 0, 1)]),
        new("a scalar index", "Gather", [X(5, 3), Index([], 2)]),
        new("a middle axis", "Gather", [X(2, 4, 3), Index([2, 2], 1, 3, 1, -4)], Attribute.Of("axis", 1L)),
        new("the last axis", "Gather", [X(2, 4), Index([3], 1, 1, 0)], Attribute.Of("axis", -1L)),
        new("of a vector", "Gather", [X(4), Index([3], 1, 1, 0)]),
        new("no index", "Gather", [X(5, 3), Index([0])]),
        new("size 1", "Gather", [X(1, 3), Index([2], 0, 0)]),
        new("repeated and negative", "GatherElements", [X(3, 3), Index([2, 3], 0, 2, 0, 0, -1, 1)]),
        new("the last axis", "GatherElements", [X(2, 4), Index([2, 3], 0, 2, 0, 3, 3, 1)], Attribute.Of("axis", -1L)),
        new("rows", "GatherND", [X(4, 3), Index([3, 1], 0, 2, 0)]),
        new("elements, repeated and negative", "GatherND", [X(4, 3), Index([2, 2, 2], 0, 1, -1, 2, 0, 1, 3, -1)]),
        new("in a batch", "GatherND", [X(2, 4, 3), Index([2, 2, 1], 1, 1, -1, 0)], Attribute.Of("batch_dims", 1L)),
        new("one index for each in a batch", "GatherND", [X(2, 4, 3), Index([2, 2], 1, 2, -1, 0)], Attribute.Of("batch_dims", 1L)),
        new("written over", "ScatterElements", [X(3, 3), Index([2, 3], 0, 2, 1, 1, -3, 0), X(2, 3)]),
        new("added, repeated", "ScatterElements", [X(2, 4), Index([2, 3], 0, 2, 0, 3, 3, 1), X(2, 3)], Attribute.Of("axis", -1L), Adding),
        new("written over", "ScatterND", [X(4, 3), Index([2, 1], 3, -4), X(2, 3)]),
        new("added", "ScatterND", [X(4, 3), Index([3, 2], 3, 1, 0, 0, -1, 0), X(3)], Adding),
        new("mean", "NegativeLogLikelihoodLoss", [X(4, 3), Index([4], 1, 0, 2, 2)]) { Type = ElementType.Float },
        new("ignored, sum", "NegativeLogLikelihoodLoss", [X(4, 3), Index([4], 1, -7, 2, 2)], Attribute.Of("ignore_index", -7L),
            Attribute.Of("reduction", "sum")) { Type = ElementType.Float },
        new("none, two axes", "NegativeLogLikelihoodLoss", [X(2, 3, 2), Index([2, 2], 1, 0, 2, 2)], Attribute.Of("reduction", "none"))
        { Type = ElementType.Float },
        new("mean", "SoftmaxCrossEntropyLoss", [X(4, 3), Index([4], 1, 0, 2, 2)]) { Type = ElementType.Float },
        new("ignored, mean", "SoftmaxCrossEntropyLoss", [X(4, 3), Index([4], 1, -100, 2, 2)], Attribute.Of("ignore_index", -100L))
        { Type = ElementType.Float },
        new("ignored, sum, two axes", "SoftmaxCrossEntropyLoss", [X(2, 3, 2), Index([2, 2], 1, -100, 2, 2)], Attribute.Of("ignore_index", -100L),
            Attribute.Of("reduction", "sum")) { Type = ElementType.Float },
        new("ignored, none", "SoftmaxCrossEntropyLoss", [X(4, 3), Index([4], 1, -1, 2, 2)], Attribute.Of("ignore_index", -1L),
            Attribute.Of("reduction", "none")) { Type = ElementType.Float },
    ];
}
