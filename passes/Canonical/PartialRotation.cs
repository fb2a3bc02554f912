using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>Heads (B, H, T, D) of which the first R channels alone are turned: Split, RotaryEmbedding of the first part, Concat.</summary>
internal static class PartialRotation
{
    private const int ChannelAxis = 3;

    /// <summary>Where two Slices cut heads into what a RotaryEmbedding reads and what a Concat puts behind its result, a Split in their place.</summary>
    /// <param name="graph">Where they stand.</param>
    /// <param name="turned">What the RotaryEmbedding reads.</param>
    public static void JoinCuts(Graph graph, Value turned)
    {
        if (turned.OnlyUser is not { } rotary || !rotary.Is(nameof(RotaryEmbedding), HaloDomain.Name)
            || Match.AfterCast(rotary.Output) is not { } result || Match.OnlyUser(result, "Concat") is not { Inputs.Count: 2 } whole
            || whole.Int("axis", 0) is not (-1 or ChannelAxis) || whole.Inputs[0] != result || whole.Inputs[1] is not { } left || left.OnlyUser is null)
            return;
        var (first, second) = (new IndexMap(turned), new IndexMap(left));
        if (!IsSlice(turned) || !IsSlice(left) || !first.Step() || !second.Step() || first.Source != second.Source)
            return;
        var heads = first.Source;
        var (d, r) = (heads.Shape!.Sizes[^1], turned.Shape!.Sizes[^1]);
        if (r == d || left.Shape!.Sizes[^1] != d - r || !first.Is(i => (i / r * d) + (i % r)) || !second.Is(i => (i / (d - r) * d) + r + (i % (d - r))))
            return;
        var parts = Cut(GraphBuilder.AfterDefinition(graph, heads, $"{rotary.Name}/parts"), heads, r);
        turned.ReplaceUsesWith(parts[0]);
        left.ReplaceUsesWith(parts[1]);
        DeadNodes.Sweep(graph, [turned, left]);
    }

    /// <summary>The first <paramref name="r"/> channels of heads, and the others.</summary>
    public static IReadOnlyList<Value> Cut(GraphBuilder build, Value heads, long r) => build.Node("cut", "Split",
        [heads, build.Constant("sizes", Tensor.Int64s(r, heads.Shape!.Sizes[^1] - r))], 2, "", Ir.Attribute.Of("axis", (long)ChannelAxis)).Outputs;

    /// <summary>Heads again, of what was turned and what was not.</summary>
    public static Value Join(GraphBuilder build, Value turned, Value left) =>
        build.Op("whole", "Concat", [turned, left], Ir.Attribute.Of("axis", (long)ChannelAxis));

    private static bool IsSlice(Value part) => part.Producer?.Is("Slice") == true;
}
