using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Models.Llama;

/// <summary>Grouped-query attention with rotary embedding under the causal mask. [Transformers, LlamaAttention and those of the other families]</summary>
internal static class AttentionBlock
{
    /// <summary>(B T, C) -> (B T, C).</summary>
    /// <param name="g">The graph.</param>
    /// <param name="module">Whose parameters.</param>
    /// <param name="window">Tokens that a token sees; 0 for all before it.</param>
    /// <param name="x">(B T, C).</param>
    public static Value Build(LlamaParts g, string module, int window, Value x)
    {
        var (config, family) = (g.Config, g.Config.Family);
        var (d, heads, groups) = (config.HeadDim, config.Heads, config.KeyValueHeads);
        Value[] projected = family.HasFusedProjections
            ? g.Split($"{module}.qkv_proj", g.Linear($"{module}.qkv_proj", x, config.HasQueryBias), 1, heads * d, groups * d, groups * d)
            : [Projected("q"), Projected("k"), Projected("v")];
        var q = Rotated("q", projected[0], heads);
        var k = Rotated("k", projected[1], groups);
        var v = ByHead("v", Apart("v", projected[2], groups));
        var (y, _) = g.At(module).Attention(q, k, v, g.Mask, g.Documents, causal: true, scale: 0, "attention", window);
        var tokens = g.At(module).Op("tokens", "Transpose", [y], HeadsAndTokensSwapped);
        var rows = g.At(module).Op("rows", "Reshape", [tokens, g.Sizes(g.Rows, (long)heads * d)]);
        return g.Linear($"{module}.o_proj", rows, config.AttentionBias);

        Value Projected(string name) => g.Linear($"{module}.{name}_proj", x, config.HasQueryBias);

        // (B T, H D) -> (B, T, H, D)
        Value Apart(string name, Value rows, long count) =>
            g.At($"{module}.{name}_proj").Op("heads", "Reshape", [rows, g.Sizes(g.Batch, g.Sequence, count, d)]);

        Value ByHead(string name, Value apart) => g.At($"{module}.{name}_proj").Op("by_head", "Transpose", [apart], HeadsAndTokensSwapped);

        // (B T, H D) -> (B, H, T, D)
        Value Rotated(string name, Value rows, long count)
        {
            var apart = Apart(name, rows, count);
            var x = ByHead(name, family.HasQueryKeyNorms ? g.Norm($"{module}.{name}_norm", apart) : apart);
            var build = g.At($"{module}.{name}_proj");
            if (config.RotaryDim == d)
                return build.RotaryEmbedding(x, g.Cos, g.Sin, g.Positions, inverse: false, "rotary");
            var parts = g.Split($"{module}.{name}_proj/rotary", x, 3, config.RotaryDim, d - config.RotaryDim);
            var turned = build.RotaryEmbedding(parts[0], g.Cos, g.Sin, g.Positions, inverse: false, "rotary");
            return build.Op("rotary/whole", "Concat", [turned, parts[1]], Attribute.Of("axis", 3L));
        }
    }

    private static Attribute HeadsAndTokensSwapped => Attribute.Of("perm", [0L, 2L, 1L, 3L]);
}
