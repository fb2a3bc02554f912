using Halo.Ir;

namespace Halo.Operators;

/// <summary>Attention and rotary embedding, operators from opset 23 on.</summary>
internal static class AttentionOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "RotaryEmbedding") { Shapes = ElementwiseOperators.LikeFirst, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Rotary },
        new("", "Attention") { Shapes = Attention, Precision = PrecisionClass.Narrow, Recompute = RecomputeKind.Attention, Operations = Operations },
        new("com.microsoft", "GroupQueryAttention") { Shapes = GroupQueryAttention, Precision = PrecisionClass.Narrow },
    ];

    /// <summary>Q, K, V are (batch, heads, length, size), or (batch, length, heads * size) with the head counts as attributes.</summary>
    private static void Attention(NodeInference i)
    {
        i.Set(0, i.Type(0), null);
        i.Set(1, i.Type(1), null);
        i.Set(2, i.Type(2), null);
        i.Set(3, i.Type(0), null);
        if (i.Shape(0) is not { } q || i.Shape(1) is not { } k || i.Shape(2) is not { } v)
            return;
        if (q.Rank is not (3 or 4) || k.Rank != q.Rank || v.Rank != q.Rank)
            throw i.Error("Q, K and V of rank 3 or 4", $"{q}, {k} and {v}");
        var (heads, keyHeads) = q.Rank == 4 ? (q[1], k[1]) : (Heads(i, "q_num_heads"), Heads(i, "kv_num_heads"));
        var (length, keyLength) = (q[^2], k[^2]);
        var (size, valueSize) = q.Rank == 4 ? (k[3], v[3]) : (DimArithmetic.Quotient([k[2]], [keyHeads]), DimArithmetic.Quotient([v[2]], [keyHeads]));
        var total = i.Node.Input(4) is null ? keyLength : DimArithmetic.Add(i.Shape(4)?[2] ?? Dim.Unknown, keyLength);
        i.Set(0, i.Type(0), q.Rank == 4 ? new Shape([q[0], heads, length, valueSize]) : new Shape([q[0], length, DimArithmetic.Multiply(heads, valueSize)]));
        i.Set(1, i.Type(1), new Shape([q[0], keyHeads, total, size]));
        i.Set(2, i.Type(2), new Shape([q[0], keyHeads, total, valueSize]));
        i.Set(3, i.Type(0), new Shape([q[0], heads, length, total]));
    }

    /// <summary>com.microsoft: query and key are (batch, length, heads * size), the past (batch, key heads, past length, size).</summary>
    /// <remarks>
    /// Without keys the query holds all three, packed. How long the past is with what was added depends on a number that is computed, so that the
    /// length of the present is not known.
    /// </remarks>
    public static void GroupQueryAttention(NodeInference i)
    {
        var (heads, keyHeads) = (Heads(i, "num_heads"), Heads(i, "kv_num_heads"));
        var isPacked = i.Node.Input(1) is null;
        var size = i.Shape(3) is { Rank: 4 } past ? past[3]
            : i.Shape(0) is not { Rank: 3 } q ? Dim.Unknown
            : DimArithmetic.Quotient([q[2]], [isPacked ? DimArithmetic.Add(heads, DimArithmetic.Multiply(2, keyHeads)) : heads]);
        i.Set(0, i.Type(0), i.Shape(0) is { } query ? new Shape([query[0], query[1], DimArithmetic.Multiply(heads, size)]) : null);
        var present = new Shape([i.Shape(0)?[0] ?? Dim.Unknown, keyHeads, Dim.Unknown, size]);
        i.Set(1, i.Type(3) == ElementType.Undefined ? i.Type(0) : i.Type(3), present);
        i.Set(2, i.Type(3) == ElementType.Undefined ? i.Type(0) : i.Type(3), present);
    }

    /// <summary>Two products, over the keys that a causal query sees.</summary>
    private static double? Operations(Node node)
    {
        if (node.Inputs[0]!.Shape?.ElementCount is not { } queries || node.Outputs[0].Shape?.ElementCount is not { } results || node.Inputs[1]!.Shape is not { } k
            || k[^2].Size is not { } keys)
        {
            return null;
        }
        return 2.0 * (queries + results) * (node.Int("is_causal", 0) == 0 ? keys : (keys + 1) / 2.0);
    }

    private static Dim Heads(NodeInference i, string attribute) =>
        i.Node.Attributes.TryGetValue(attribute, out var heads) ? heads.Int : throw i.Error($"{attribute} for operands that hold all heads in a row", "none");
}
