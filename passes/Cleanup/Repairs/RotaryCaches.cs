using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Cleanup.Repairs;

/// <summary>RotaryEmbedding without position_ids: cos_cache and sin_cache (1, T, D/2) are expanded to the batch, (B, T, D/2).</summary>
/// <remarks>
/// Exporters rely on broadcasting, since all rows have the same positions; the operator's definition has the batch there. [ONNX, RotaryEmbedding-23]
/// </remarks>
internal static class RotaryCaches
{
    private const int PositionIds = 3;

    public static RepairRule Rule { get; } = new("RotaryEmbedding", "ONNX Runtime 1.31 wants caches of the batch's size, not of size 1", model =>
    {
        var expanded = new Dictionary<(Value Cache, Dim Batch), Value>();
        return node => Expand(node, 1, expanded) | Expand(node, 2, expanded);
    });

    private static bool Expand(Node node, int index, Dictionary<(Value, Dim), Value> expanded)
    {
        var (x, cache) = (node.Inputs[0]!, node.Inputs[index]!);
        if (node.Input(PositionIds) is not null || cache.Shape is not { Rank: 3 } from || from[0].Size != 1 || x.Shape is not { } to || to[0].Size == 1)
            return false;
        if (to[0] == Dim.Unknown || !expanded.TryGetValue((cache, to[0]), out var value))
        {
            var build = GraphBuilder.Before(node, $"{node.Name}/{(index == 1 ? "cos_cache" : "sin_cache")}");
            value = expanded[(cache, to[0])] = build.Op("expand", "Expand", [cache, Target(build, x, cache)]);
        }
        node.ReplaceInput(index, value);
        return true;
    }

    /// <summary>(B, T, D/2): a constant where all three are numbers, else taken from the values when the graph runs.</summary>
    private static Value Target(GraphBuilder build, Value x, Value cache)
    {
        if (x.Shape![0].Size is { } batch && cache.Shape!.IsStatic)
            return build.Constant("expand/shape", Tensor.Int64s([batch, .. cache.Shape.Sizes[1..]]));
        var rows = build.Op("batch", "Shape", [x], Attribute.Of("start", 0L), Attribute.Of("end", 1L));
        var rest = build.Op("rest", "Shape", [cache], Attribute.Of("start", 1L));
        return build.Op("expand/shape", "Concat", [rows, rest], Attribute.Of("axis", 0L));
    }
}
