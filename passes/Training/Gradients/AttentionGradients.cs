using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Attention and rotary embedding, operators from opset 23 on.</summary>
internal static class AttentionGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["Attention"] = Attention,
        ["RotaryEmbedding"] = Rotary,
    };

    /// <summary>The gradient is rotated by the negative angles, whose sines are negative.</summary>
    private static void Rotary(NodeGradient g)
    {
        if (g.Needs(1) || g.Needs(2))
            throw g.Refused("tables of constants", "tables that depend on a parameter", "Freeze what the tables depend on.");
        g.Add(0, () => g.Op("RotaryEmbedding", [g.D, g.In(1), g.Op("Neg", g.In(2)), g.Node.Input(3)], [.. g.Node.Attributes.Values]));
    }

    /// <summary>
    /// P = softmax(s Q K^T + mask) is computed again; dP = dY V^T, dS = P (dP - rowsum(dP P)), dQ = s dS K, dK = s dS^T Q, dV = P^T dY, where Q and
    /// dY (B, H, T, D) are seen as (B, G, (H/G) T, D), so that the heads that read one key/value head lie one behind the other.
    /// </summary>
    private static void Attention(NodeGradient g)
    {
        Check(g);
        var (q, k, v, dy) = (ByHead(g, g.In(0), "q_num_heads"), ByHead(g, g.In(1), "kv_num_heads"), ByHead(g, g.In(2), "kv_num_heads"),
            ByHead(g, g.D, "q_num_heads"));
        var (query, key) = (q.Shape!.Sizes, k.Shape!.Sizes);
        var (heads, groups, tokens, keys) = (query[1], key[1], query[2], key[2]);
        var scale = g.Scalar(g.Node.Attributes.TryGetValue("scale", out var given) ? given.Float : 1 / Math.Sqrt(query[3]), q);
        long[] byHead = [query[0], heads, tokens, keys];

        var scaled = Grouped(g.Op("Mul", q, scale));
        var scores = g.Reshape(g.Op("MatMul", scaled, g.Transposed(k)), byHead);
        var lowest = g.Scalar(q.Type == ElementType.Float16 ? (double)Half.MinValue : float.MinValue, q);
        var mask = g.Node.Input(3);
        if (mask is { Type: ElementType.Bool })
            scores = g.Op("Where", mask, scores, lowest);
        else if (mask is not null)
            scores = g.Op("Add", scores, mask);
        if (g.Node.Int("is_causal", 0) != 0)
            scores = g.Op("Where", Visible(g, tokens, keys), scores, lowest);
        var p = g.Op("Softmax", scores);
        var outer = Grouped(dy);
        var dp = g.Reshape(g.Op("MatMul", outer, g.Transposed(v)), byHead);
        var ds = g.Op("Mul", p, g.Op("Sub", dp, g.Sum(g.Op("Mul", dp, p), [3], keepsDims: true)));
        var byGroup = Grouped(ds);

        g.Add(0, () => Back(g, g.Reshape(g.Op("Mul", g.Op("MatMul", byGroup, k), scale), query), g.In(0)));
        g.Add(1, () => Back(g, g.Op("MatMul", g.Transposed(byGroup), scaled), g.In(1)));
        g.Add(2, () => Back(g, g.Op("MatMul", g.Transposed(Grouped(p)), outer), g.In(2)));
        g.Add(3, () => ds);

        Value Grouped(Value x) => g.Reshape(x, x.Shape!.Sizes[0], groups, heads / groups * tokens, x.Shape!.Sizes[3]);
    }

    private static void Check(NodeGradient g)
    {
        if (g.Node.Float("softcap", 0) != 0)
        {
            throw g.Refused("attention without softcap", $"softcap {g.Node.Float("softcap", 0)}",
                "Write the attention in its parts: MatMul, Tanh, Softmax, MatMul.");
        }
        if (g.Node.Input(4) is not null || g.Node.Input(5) is not null || g.Node.Input(6) is not null)
            throw g.Refused("attention without a cache", "past keys or values", "Export the model without a cache for training.");
        if (g.DOf(1) is not null || g.DOf(2) is not null || g.DOf(3) is not null)
            throw g.Refused("a loss that depends on the first output alone", "one that depends on another", "Use the first output alone.");
        if (g.Node.Input(3) is { Shape: { Rank: > 0 } mask } && mask[^1].Size is { } columns and not 1 && columns != g.In(1).Shape!.Sizes[^2])
            throw g.Refused($"a mask for each of {g.In(1).Shape!.Sizes[^2]} keys", $"{mask}", "Pad the mask to the keys.");
    }

    /// <summary>(B, T, H D) as (B, H, T, D).</summary>
    private static Value ByHead(NodeGradient g, Value x, string heads)
    {
        if (x.Shape!.Rank == 4)
            return x;
        var (sizes, count) = (x.Shape!.Sizes, g.Node.Int(heads, 0));
        return g.Op("Transpose", [g.Reshape(x, sizes[0], sizes[1], count, sizes[2] / count)], Attribute.Of("perm", [0L, 2, 1, 3]));
    }

    private static Value Back(NodeGradient g, Value gradient, Value input) => input.Shape!.Rank == 4 ? gradient
        : g.Reshape(g.Op("Transpose", [gradient], Attribute.Of("perm", [0L, 2, 1, 3])), input.Shape!.Sizes);

    /// <summary>Query i sees the keys up to i.</summary>
    private static Value Visible(NodeGradient g, long tokens, long keys)
    {
        Value Count(long n) => g.Op("Range", g.Scalar(0, ElementType.Int64), g.Scalar(n, ElementType.Int64), g.Scalar(1, ElementType.Int64));
        return g.Op("LessOrEqual", g.Reshape(Count(keys), 1, keys), g.Reshape(Count(tokens), tokens, 1));
    }
}
