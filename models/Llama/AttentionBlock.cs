using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;

namespace Halo.Models.Llama;

/// <summary>Grouped-query attention with rotary embedding under the causal mask. [Transformers, LlamaAttention and those of the other families]</summary>
internal static class AttentionBlock
{
    /// <summary>(B T, C) -> (B T, C).</summary>
    /// <param name="g">The graph.</param>
    /// <param name="layer">Whose parameters, window and rotation.</param>
    /// <param name="x">(B T, C).</param>
    public static Value Build(LlamaParts g, int layer, Value x)
    {
        var (config, family, module) = (g.Config, g.Config.Family, $"{LlamaParameters.Layer(layer)}.self_attn");
        var window = config.Windows.Count == 0 ? 0 : config.Windows[layer];
        var isRotated = config.Rotated.Count == 0 || config.Rotated[layer];
        var (d, heads, groups) = (config.HeadDim, config.Heads, config.KeyValueHeads);
        Value[] projected = family.HasFusedProjections
            ? g.Split($"{module}.qkv_proj", g.Linear($"{module}.qkv_proj", x, config.HasQueryBias), 1, heads * d, groups * d, groups * d)
            : [Projected("q"), Projected("k"), Projected("v")];
        var q = Heads("q", projected[0], heads);
        var k = Heads("k", projected[1], groups);
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

        // (B T, H D) -> (B, H, T, D), normed and rotated.
        Value Heads(string name, Value rows, long count)
        {
            var norm = $"{module}.{name}_norm";
            var apart = Apart(name, family.QueryKeyNorms == QueryKeyNorms.WholeProjections ? g.Norm(norm, rows) : rows, count);
            var x = ByHead(name, family.QueryKeyNorms == QueryKeyNorms.EachHead ? g.Norm(norm, apart) : apart);
            var build = g.At($"{module}.{name}_proj");
            if (!isRotated)
                return x;
            if (config.RotaryDim == d)
                return build.RotaryEmbedding(x, g.Cos, g.Sin, g.Positions, inverse: false, "rotary");
            var parts = g.Split($"{module}.{name}_proj/rotary", x, 3, config.RotaryDim, d - config.RotaryDim);
            var turned = build.RotaryEmbedding(parts[0], g.Cos, g.Sin, g.Positions, inverse: false, "rotary");
            return build.Op("rotary/whole", "Concat", [turned, parts[1]], Attribute.Of("axis", 3L));
        }
    }

    private static Attribute HeadsAndTokensSwapped => Attribute.Of("perm", [0L, 2L, 1L, 3L]);
}
