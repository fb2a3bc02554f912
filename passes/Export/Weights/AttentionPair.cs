using Halo.CustomOps;
using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Export.Weights;

/// <summary>The linear layers in front of an attention's values and behind its output: what v does to the channels of a head, o can undo.</summary>
/// <param name="V">Makes values, (R, G D).</param>
/// <param name="O">Reads outputs, (R, H D).</param>
/// <param name="HeadSize">D.</param>
internal sealed record AttentionPair(Node V, Node O, long HeadSize)
{
    private const int Values = 2;

    public static bool IsAttention(Node node) =>
        node.Is(nameof(Attention), HaloDomain.Name) || node.Is("GroupQueryAttention", "com.microsoft");

    /// <summary>Null, with the reason, where one of them is not a linear layer that alone reads or writes.</summary>
    public static AttentionPair? Of(Node attention, out string reason)
    {
        reason = "values or outputs do not come from, and go to, one linear layer alone";
        var values = attention.Input(Values);
        if (HeadSizeOf(attention) is not { } size || values is null || Producer(values, size) is not { } v || Reader(attention.Output, size) is not { } o)
            return null;
        return new AttentionPair(v, o, size);
    }

    private static long? HeadSizeOf(Node attention)
    {
        var values = attention.Input(Values)?.Shape;
        return values is null || values.Rank == 0 ? null
            : values.Rank == 4 ? values[-1].Size
            : values[-1].Size / attention.Int("kv_num_heads", 1);
    }

    private static Node? Producer(Value value, long size)
    {
        while (value.Producer is { } node && IsAlone(value))
        {
            if (HeldLinear.Is(node))
                return IsWhole(value, size) ? node : null;
            if (!KeepsHeads(node, size))
                return null;
            value = node.Inputs[0]!;
        }
        return null;
    }

    private static Node? Reader(Value value, long size)
    {
        while (IsAlone(value) && value.Uses[0] is { Index: 0, Node: var node })
        {
            if (HeldLinear.Is(node))
                return IsWhole(value, size) ? node : null;
            if (!KeepsHeads(node, size))
                return null;
            value = node.Output;
        }
        return null;
    }

    private static bool IsAlone(Value value) => value.Uses.Count == 1 && !value.IsGraphOutput;

    /// <summary>Neighbours within a group of D columns stay what they are: all last axes are whole groups, and none is moved.</summary>
    private static bool KeepsHeads(Node node, long size)
    {
        if (!IsWhole(node.Inputs[0]!, size) || !IsWhole(node.Output, size))
            return false;
        if (node.Is("Transpose"))
            return node.Ints("perm") is { } perm && perm[^1] == perm.Count - 1;
        return node.Facts.Role is OperatorRole.View { KeepsOrder: true };
    }

    private static bool IsWhole(Value value, long size) => value.Shape is { Rank: > 0 } shape && shape[-1].Size is { } columns && columns % size == 0;
}
