using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Export.Inference;

/// <summary>A com.halo Attention over heads, rotated or not, and the projections (B T, H D) that its heads were cut from.</summary>
/// <param name="Node">The Attention.</param>
/// <param name="Rotary">The RotaryEmbedding of its queries; that of its keys reads the same tables. Null where neither is rotated.</param>
/// <param name="Query">Rows (B T, H D) or (B, T, H D).</param>
/// <param name="Key">Rows (B T, G D) or (B, T, G D).</param>
/// <param name="Value">As <paramref name="Key"/>.</param>
internal sealed record AttentionHeads(Node Node, Node? Rotary, Value Query, Value Key, Value Value)
{
    /// <summary>H.</summary>
    public long Heads => Node.Inputs[0]!.Shape![1].Size!.Value;

    /// <summary>G.</summary>
    public long KeyValueHeads => Node.Inputs[1]!.Shape![1].Size!.Value;

    /// <summary>D.</summary>
    public long HeadSize => Node.Inputs[0]!.Shape![3].Size!.Value;

    /// <summary>How many of them are turned.</summary>
    public long RotatedChannels => Rotary?.Inputs[0]!.Shape![3].Size ?? 0;

    public float Scale => Node.Float("scale", 0) is var scale and not 0 ? scale : (float)(1 / Math.Sqrt(HeadSize));

    /// <exception cref="PassException">The attention is none that a cache can serve.</exception>
    public static AttentionHeads Of(Node attention, Value mask, string pass)
    {
        Require(attention.Int("causal", 1) == 1, "a causal mask", "none", "Only a causal model can decode with a cache.");
        Require(attention.Input(4) is null, "one document a row", $"document_ids '{attention.Input(4)?.Name}'", "Build the graph without packing.");
        Require(attention.Input(3) == mask, $"the mask '{mask.Name}'", attention.Input(3) is { } other ? $"'{other.Name}'" : "none",
            "Export the model with attention_mask as an input.");
        Require(attention.Outputs.Skip(1).All(o => o is { Uses.Count: 0, IsGraphOutput: false }), "its result alone in use", "a reader of logSumExp",
            "Run take-logits first.");
        var ((query, queries), (key, keys)) = (Rotated(0), Rotated(1));
        Require(query?.Inputs[1] == key?.Inputs[1] && query?.Inputs[2] == key?.Inputs[2], "queries and keys with the same rotary tables",
            $"'{query?.Inputs[1]!.Name ?? "none"}' and '{key?.Inputs[1]!.Name ?? "none"}'", "Run deduplicate first.");
        var heads = new AttentionHeads(attention, query, Rows(queries), Rows(keys), Rows(attention.Inputs[2]!));
        Require(query is not null || (IsProjection(heads.Query) && IsProjection(heads.Key)), "queries and keys from a rotary embedding, or from a projection",
            "something between them and theirs", "Run canonicalize first.");
        return heads;

        // The rotation, and the heads of which it turns all channels, or the first part of a Split and leaves the other.
        (Node? Rotary, Value Heads) Rotated(int input)
        {
            var whole = attention.Inputs[input]!.Producer;
            if (whole is not null && whole.Is("Transpose") && SwapsHeadsAndTokens(whole))
                return (null, whole.Output);
            var split = whole is not null && whole.Is("Concat") && whole.Inputs.Count == 2 && whole.Int("axis", 0) is 3 or -1
                && whole.Inputs[1]!.Producer is { } cut && cut.Is("Split") && cut.Outputs.Count == 2 && cut.Outputs[1] == whole.Inputs[1] ? cut : null;
            var node = split is null ? whole : whole!.Inputs[0]!.Producer;
            Require(node is not null && node.Is(nameof(RotaryEmbedding), HaloDomain.Name) && node.Int("inverse", 0) == 0,
                "queries and keys from a rotary embedding", node?.ToString() ?? $"input '{attention.Inputs[input]!.Name}'", "Run canonicalize first.");
            Require(node!.Input(3) is null, "token t at position t", $"positions '{node.Input(3)?.Name}'", "Build or export the model without position_ids.");
            Require(split is null || node.Inputs[0] == split.Outputs[0], "a rotation of the first part of each head", $"one of '{node.Inputs[0]!.Name}'",
                "Run canonicalize first.");
            return (node, split?.Inputs[0] ?? node.Inputs[0]!);
        }

        // (B, H, T, D) is Transpose of (B, T, H, D), which lies as the rows (B T, H D) do.
        Value Rows(Value heads)
        {
            Require(heads.Producer is { } node && node.Is("Transpose") && SwapsHeadsAndTokens(node), "heads (B, H, T, D) that are cut from rows (B T, H D)",
                heads.Producer?.ToString() ?? $"input '{heads.Name}'", "Run canonicalize first.");
            var rows = heads.Producer!.Inputs[0]!;
            while (rows.Producer is { } view && view.Is("Reshape"))
                rows = view.Inputs[0]!;
            return rows;
        }

        void Require(bool holds, string expected, string found, string advice)
        {
            if (!holds)
                throw new PassException(pass, attention, "forward", expected, found, advice);
        }
    }

    /// <summary>Whether rows are what a linear layer gives, or their norm: what was turned on the way would be so by the places of this graph's tokens.</summary>
    private static bool IsProjection(Value rows)
    {
        while (rows.Producer is { } node && (node.Is("Reshape") || node.Is("Split") || node.Is(nameof(RmsNorm), HaloDomain.Name)))
            rows = node.Inputs[0]!;
        return rows.Producer is { } product && (product.Is("Gemm") || product.Is("MatMul"));
    }

    public static bool SwapsHeadsAndTokens(Node transpose) => transpose.Ints("perm") is [0, 2, 1, 3];

    /// <summary>Whether a Reshape's target says the same whatever axes the elements had: it copies none.</summary>
    public static bool CopiesNoAxis(Node reshape) => reshape.Inputs[1]?.Integers() is { } sizes && Array.TrueForAll(sizes, s => s != 0);
}
