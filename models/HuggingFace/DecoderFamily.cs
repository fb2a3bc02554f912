using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>What one <c>model_type</c> has that LLaMA has not, or reads otherwise: a family is these values and no code of its own.</summary>
/// <remarks>Whoever builds, checks or exports a decoder asks its <see cref="DecoderConfig"/>, into which these values have gone, and names no family.</remarks>
/// <param name="ModelType"><c>model_type</c> of config.json.</param>
public sealed record DecoderFamily(string ModelType)
{
    /// <summary>Every family that is known. [Transformers, modeling_llama, _mistral, _olmo2, _phi3, _qwen2, _qwen3, _smollm3]</summary>
    public static IReadOnlyList<DecoderFamily> All { get; } =
    [
        new("llama") { ReadsAttentionBias = true, ReadsMlpBias = true },
        new("mistral") { Window = WindowRule.Given, AbsentWindow = 4096, AbsentKeyValueHeads = 8 },
        new("olmo2")
        {
            ReadsAttentionBias = true, AbsentEpsilon = 1e-5, QueryKeyNorms = QueryKeyNorms.WholeProjections, NormsWhatIsAdded = true, GenAiType = "olmo",
        },
        new("phi3") { Window = WindowRule.Given, HasFusedProjections = true, CanRotatePartly = true, AbsentEpsilon = 1e-5 },
        new("qwen2") { Window = WindowRule.UpperLayers, AbsentWindow = 4096, AbsentKeyValueHeads = 32, HasQueryBias = true },
        new("qwen3")
        {
            Window = WindowRule.UpperLayers, AbsentWindow = 4096, AbsentKeyValueHeads = 32, AbsentHeadDim = 128, ReadsAttentionBias = true,
            QueryKeyNorms = QueryKeyNorms.EachHead,
        },
        new("smollm3")
        {
            Window = WindowRule.UnrotatedLayers, AbsentKeyValueHeads = 4, ReadsAttentionBias = true, ReadsMlpBias = true, LeavesLayersUnrotated = true,
            TiesWhereSilent = true,
        },
    ];

    /// <summary>What ONNX Runtime GenAI 0.18 calls it, which refuses names that it does not know and runs every decoder alike.</summary>
    public string GenAiType { get => field ?? ModelType; init; }

    /// <summary>Biases of q, k and v, and none of o, whatever config.json says.</summary>
    public bool HasQueryBias { get; init; }

    /// <summary>Whether attention_bias and mlp_bias are looked at; else they must be false.</summary>
    public bool ReadsAttentionBias { get; init; }

    public bool ReadsMlpBias { get; init; }

    /// <summary>Norms of q and k before they are rotated.</summary>
    public QueryKeyNorms QueryKeyNorms { get; init; }

    /// <summary>Norms of what attention and feed-forward add to the residual stream, and none of what they read.</summary>
    public bool NormsWhatIsAdded { get; init; }

    /// <summary>q, k and v are one product, gate and up another.</summary>
    public bool HasFusedProjections { get; init; }

    /// <summary>Whether partial_rotary_factor is looked at; else it must be 1.</summary>
    public bool CanRotatePartly { get; init; }

    /// <summary>Whether no_rope_layers is looked at; else every layer is rotated.</summary>
    public bool LeavesLayersUnrotated { get; init; }

    internal WindowRule Window { get; init; }

    /// <summary>What Transformers takes where config.json names none; null: what LLaMA's config has.</summary>
    internal int? AbsentWindow { get; init; }

    internal int? AbsentKeyValueHeads { get; init; }

    internal int? AbsentHeadDim { get; init; }

    internal double AbsentEpsilon { get; init; } = 1e-6;

    /// <summary>What tie_word_embeddings is where config.json does not say.</summary>
    internal bool TiesWhereSilent { get; init; }

    /// <summary>The family that a config names.</summary>
    /// <exception cref="HaloException">There is none of that name.</exception>
    internal static DecoderFamily Of(JsonFields config)
    {
        var type = config.Text("model_type");
        if (All.FirstOrDefault(family => family.ModelType == type) is { } found)
            return found;
        var known = string.Join(", ", All.Select(family => family.ModelType));
        foreach (var name in new[] { "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts" })
        {
            if (config.Whole(name) is > 1 and var experts)
                throw config.Unsupported("model_type", $"a dense decoder ({known}), each token through every weight",
                    $"'{type}', a mixture of {experts} experts");
        }
        throw config.Unsupported("model_type", $"one of those that Halo knows, {known}", type is null ? "none" : $"'{type}'");
    }
}

/// <summary>What of queries and keys is normed before it is rotated.</summary>
public enum QueryKeyNorms
{
    None,

    /// <summary>Each head by itself, with one gain (D) for all.</summary>
    EachHead,

    /// <summary>The rows that a projection gives, all heads at once, with gains (H D) and (G D).</summary>
    WholeProjections,
}

/// <summary>Where config.json says in which layers a token sees the tokens of a window alone.</summary>
internal enum WindowRule
{
    /// <summary>In none.</summary>
    None,

    /// <summary>In all, where sliding_window is a number.</summary>
    Given,

    /// <summary>Where use_sliding_window is true, in the layers that layer_types names, or in those from max_window_layers on.</summary>
    UpperLayers,

    /// <summary>Where use_sliding_window is true, in the layers that layer_types names, or in those without rotary embedding.</summary>
    UnrotatedLayers,
}
