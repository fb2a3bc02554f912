using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Operators that take or put elements by index.</summary>
/// <remarks>
/// Gradients of what is taken are added up by ScatterElements, which ONNX Runtime runs in the order of the indices; its ScatterND loses updates
/// where indices repeat (DECISIONS.md).
/// </remarks>
internal static class IndexingGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["Gather"] = g => g.Add(0, () => Gather(g)),
        ["GatherElements"] = g => g.Add(0, () => AddUp(g, g.Zeros(g.In(0)), g.In(1), g.D, (int)g.Node.Int("axis", 0))),
        ["GatherND"] = g => g.Add(0, () => GatherND(g)),
        ["ScatterElements"] = g =>
        {
            var axis = Attribute.Of("axis", g.Node.Int("axis", 0));
            g.Add(0, () => Adds(g) ? g.D : g.Op("ScatterElements", [g.D, g.In(1), g.Zeros(g.In(2))], axis));
            g.Add(2, () => g.Op("GatherElements", [g.D, g.In(1)], axis));
        },
        ["ScatterND"] = g =>
        {
            g.Add(0, () => Adds(g) ? g.D : g.Op("ScatterND", g.D, g.In(1), g.Zeros(g.In(2))));
            g.Add(2, () => g.Op("GatherND", g.D, g.In(1)));
        },
    };

    /// <summary>The tensor seen as (outer, size, inner): dY (outer, N, inner) is added to the N indexed rows of each outer one.</summary>
    private static Value Gather(NodeGradient g)
    {
        var sizes = g.In(0).Shape!.Sizes;
        var axis = (int)(g.Node.Int("axis", 0) is var a and < 0 ? a + sizes.Length : g.Node.Int("axis", 0));
        return AddRows(g, g.In(1), Product(sizes.Take(axis)), sizes[axis], Product(sizes.Skip(axis + 1)));
    }

    /// <summary>Indices of several axes become one index into those axes as one.</summary>
    private static Value GatherND(NodeGradient g)
    {
        var (sizes, indices) = (g.In(0).Shape!.Sizes, g.In(1).Shape!.Sizes);
        var batch = (int)g.Node.Int("batch_dims", 0);
        var indexed = sizes.Skip(batch).Take((int)indices[^1]).ToArray();
        var strides = new long[indexed.Length];
        for (int i = indexed.Length - 1, stride = 1; i >= 0; stride *= (int)indexed[i--])
            strides[i] = stride;
        var isNegative = g.Op("Less", g.In(1), g.Scalar(0, ElementType.Int64));
        var counted = g.Op("Where", isNegative, g.Op("Add", g.In(1), g.Ints(indexed)), g.In(1));
        var rows = g.Sum(g.Op("Mul", counted, g.Ints(strides)), [indices.Length - 1], keepsDims: false);
        var (batches, size) = (Product(sizes.Take(batch)), Product(indexed));
        if (batch > 0)
        {
            // Batches lie one behind the other, so that all are one axis.
            var starts = g.Ints([.. Enumerable.Range(0, (int)batches).Select(b => b * size)]);
            var each = Product(rows.Shape!.Sizes.Skip(batch));
            rows = g.Op("Add", g.Reshape(rows, batches, each), g.Reshape(starts, batches, 1));
        }
        return AddRows(g, rows, 1, batches * size, Product(sizes.Skip(batch + indexed.Length)));
    }

    private static Value AddRows(NodeGradient g, Value indices, long outer, long size, long inner)
    {
        var count = indices.Shape!.ElementCount!.Value;
        var zeros = g.Zeros(g.In(0));
        if (outer == 1)
        {
            var rows = g.Expand(g.Reshape(indices, count, 1), count, inner);
            return g.Reshape(AddUp(g, g.Reshape(zeros, size, inner), rows, g.Reshape(g.D, count, inner), 0), g.In(0).Shape!.Sizes);
        }
        var spread = g.Expand(g.Reshape(indices, 1, count, 1), outer, count, inner);
        return g.Reshape(AddUp(g, g.Reshape(zeros, outer, size, inner), spread, g.Reshape(g.D, outer, count, inner), 1), g.In(0).Shape!.Sizes);
    }

    private static Value AddUp(NodeGradient g, Value zeros, Value indices, Value updates, int axis) =>
        g.Op("ScatterElements", [zeros, indices, updates], Attribute.Of("axis", (long)axis), Attribute.Of("reduction", "add"));

    private static bool Adds(NodeGradient g) => g.Node.String("reduction", "none") switch
    {
        "none" => false,
        "add" => true,
        var other => throw g.Refused("reduction none or add", other, "Freeze what lies before the node."),
    };

    private static long Product(IEnumerable<long> sizes) => sizes.Aggregate(1L, (a, b) => a * b);
}
