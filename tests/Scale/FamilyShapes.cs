using System.Text.Json.Nodes;

namespace Halo.Tests.Scale;

/// <summary>What config.json says of models of each family, by the names that <c>prepare-scale.sh</c> has for them, which end in the layers.</summary>
internal static class FamilyShapes
{
    /// <summary>Sizes as published with the models.</summary>
    public static IReadOnlyList<(string Name, JsonObject Config)> All { get; } =
    [
        ("mistral-7b-32", Config("mistral", 4096, 14336, 32, (32, 8), 32000, 32768, 1e6)),
        ("qwen2.5-7b-28", Config("qwen2", 3584, 18944, 28, (28, 4), 152064, 131072, 1e6)),
        ("qwen3-8b-36", Config("qwen3", 4096, 12288, 36, (32, 8), 151936, 40960, 1e6)),
        ("phi3-medium-40", Config("phi3", 5120, 17920, 40, (40, 10), 32064, 4096, 1e4)),
        ("phi4-mini-32", With(Config("phi3", 3072, 8192, 32, (24, 8), 200064, 131072, 1e4), new()
        {
            ["tie_word_embeddings"] = true,
            ["partial_rotary_factor"] = 0.75,
            ["original_max_position_embeddings"] = 4096,
            ["rope_scaling"] = new JsonObject { ["type"] = "longrope", ["short_factor"] = Factors(0), ["long_factor"] = Factors(1) },
        })),
        ("smollm3-3b-36", With(Config("smollm3", 2048, 11008, 36, (16, 4), 128256, 65536, 5e6), new() { ["tie_word_embeddings"] = true })),
        ("olmo2-7b-32", Config("olmo2", 4096, 11008, 32, (32, 32), 100352, 4096, 5e5)),
    ];

    private static JsonObject Config(
        string type, int hidden, int ffn, int layers, (int Queries, int Keys) heads, int vocabulary, int positions, double theta) => new()
        {
            ["model_type"] = type,
            ["hidden_act"] = "silu",
            ["hidden_size"] = hidden,
            ["intermediate_size"] = ffn,
            ["num_hidden_layers"] = layers,
            ["num_attention_heads"] = heads.Queries,
            ["num_key_value_heads"] = heads.Keys,
            ["vocab_size"] = vocabulary,
            ["max_position_embeddings"] = positions,
            ["bos_token_id"] = 0,
            ["eos_token_id"] = 1,
            ["rms_norm_eps"] = 1e-5,
            ["rope_theta"] = theta,
            ["torch_dtype"] = "bfloat16",
        };

    private static JsonObject With(JsonObject config, JsonObject more)
    {
        foreach (var (name, value) in more.ToList())
            config[name] = value!.DeepClone();
        return config;
    }

    /// <summary>Of the 48 pairs that three quarters of a head of 128 channels are: 1, and more for each if it grows.</summary>
    private static JsonArray Factors(double growth) => [.. Enumerable.Range(0, 48).Select(i => (JsonNode)(1 + (growth * i)))];
}
