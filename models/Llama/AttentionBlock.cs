using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Models.Llama;

/// <summary>Grouped-query attention with rotary embedding under the causal mask. [Transformers, LlamaAttention]</summary>
internal static class AttentionBlock
{
    /// <summary>(B T, C) -> (B T, C).</summary>
    public static Value Build(LlamaParts g, string module, Value x)
    {
        var config = g.Config;
        var q = Rotated("q_proj", config.Heads);
        var k = Rotated("k_proj", config.KeyValueHeads);
        var v = Heads("v_proj", config.KeyValueHeads);
        var (y, _) = g.At(module).Attention(q, k, v, g.Mask, g.Documents, causal: true, scale: 0, "attention");
        var tokens = g.At(module).Op("tokens", "Transpose", [y], HeadsAndTokensSwapped);
        var rows = g.At(module).Op("rows", "Reshape", [tokens, g.Sizes(g.Rows, (long)config.Heads * config.HeadDim)]);
        return g.Linear($"{module}.o_proj", rows, config.AttentionBias);

        Value Rotated(string name, long heads) =>
            g.At($"{module}.{name}").RotaryEmbedding(Heads(name, heads), g.Cos, g.Sin, g.Positions, inverse: false, "rotary");

        // (B T, C) -> (B, H, T, D)
        Value Heads(string name, long heads)
        {
            var projected = g.Linear($"{module}.{name}", x, config.AttentionBias);
            var build = g.At($"{module}.{name}");
            var apart = build.Op("heads", "Reshape", [projected, g.Sizes(g.Batch, g.Sequence, heads, config.HeadDim)]);
            return build.Op("by_head", "Transpose", [apart], HeadsAndTokensSwapped);
        }
    }

    private static Attribute HeadsAndTokensSwapped => Attribute.Of("perm", [0L, 2L, 1L, 3L]);
}
