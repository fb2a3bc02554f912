using Halo.Ir;
using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>
/// Turns the fields of <c>config.json</c> into a <see cref="LlamaConfig"/>; Transformers' defaults for fields it omits. [Transformers, LlamaConfig]
/// </summary>
internal static class LlamaConfigParser
{
    internal static LlamaConfig Parse(JsonFields json)
    {
        if (json.Text("model_type") is var type && type != "llama") throw json.Defect("model_type", "llama", type ?? "none");
        if (json.Text("hidden_act") is { } act and not "silu") throw json.Defect("hidden_act", "silu", act);
        if (json.Whole("pretraining_tp") is { } slices and not 1) throw json.Defect("pretraining_tp", "1, products in one piece", $"{slices}");
        if (json.Number("attention_dropout") is { } dropout and not 0) throw json.Defect("attention_dropout", "0", $"{dropout}");
        if (json.Field("quantization_config") is not null)
            throw json.Defect("quantization_config", "a checkpoint that is not quantized", "quantization_config");
        var hidden = Positive(json, "hidden_size");
        var heads = Positive(json, "num_attention_heads");
        var keyValueHeads = Positive(json, "num_key_value_heads", heads);
        if (heads % keyValueHeads != 0) throw json.Defect("num_key_value_heads", $"a divisor of {heads} heads", $"{keyValueHeads}");
        if (json.Whole("head_dim") is null && hidden % heads != 0) throw json.Defect("hidden_size", $"a multiple of {heads} heads", $"{hidden}");
        var headDim = Positive(json, "head_dim", hidden / heads);
        if (headDim % 2 != 0) throw json.Defect("head_dim", "an even number, which rotary embedding needs", $"{headDim}");
        var rope = json.Object("rope_parameters") ?? json.Object("rope_scaling");
        if ((rope?.Number("partial_rotary_factor") ?? json.Number("partial_rotary_factor")) is { } share and not 1)
            throw json.Defect("partial_rotary_factor", "1, all channels of a head rotated", $"{share}");
        var epsilon = json.Number("rms_norm_eps") ?? 1e-6;
        if (epsilon <= 0) throw json.Defect("rms_norm_eps", "a positive number", $"{epsilon}");
        var theta = rope?.Number("rope_theta") ?? json.Number("rope_theta") ?? 10000;
        if (theta <= 0) throw json.Defect("rope_theta", "a positive number", $"{theta}");
        var config = new LlamaConfig
        {
            HiddenSize = hidden,
            IntermediateSize = Positive(json, "intermediate_size"),
            Layers = Positive(json, "num_hidden_layers"),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDim = headDim,
            VocabularySize = Positive(json, "vocab_size"),
            MaxPositions = Positive(json, "max_position_embeddings", 2048),
            RopeTheta = theta,
            RopeScaling = rope is null ? null : Scaling(rope),
            RmsNormEpsilon = epsilon,
            DType = DType(json),
            TieWordEmbeddings = json.Flag("tie_word_embeddings") ?? false,
            AttentionBias = json.Flag("attention_bias") ?? false,
            MlpBias = json.Flag("mlp_bias") ?? false,
            BosTokenId = json.Whole("bos_token_id"),
            EosTokenIds = json.Wholes("eos_token_id"),
            PadTokenId = json.Whole("pad_token_id"),
        };
        CheckIds(json, config);
        return config;
    }

    private static RopeScaling? Scaling(JsonFields rope)
    {
        var type = rope.Text("rope_type") ?? rope.Text("type") ?? "default";
        if (type == "default") return null;
        if (type is not ("linear" or "llama3")) throw rope.Defect("rope_type", "default, linear or llama3", type);
        var factor = rope.Number("factor") ?? throw rope.Defect("factor", "a number", "none");
        if (factor < 1) throw rope.Defect("factor", "a number from 1", $"{factor}");
        if (type == "linear") return new RopeScaling(type, factor, 0, 0, 0);
        var low = rope.Number("low_freq_factor") ?? throw rope.Defect("low_freq_factor", "a number", "none");
        var high = rope.Number("high_freq_factor") ?? throw rope.Defect("high_freq_factor", "a number", "none");
        if (low <= 0 || high <= low) throw rope.Defect("high_freq_factor", $"a number above low_freq_factor = {low} > 0", $"{high}");
        return new RopeScaling(type, factor, low, high, Positive(rope, "original_max_position_embeddings"));
    }

    private static ElementType DType(JsonFields json) => (json.Text("dtype") ?? json.Text("torch_dtype") ?? "float32") switch
    {
        "float32" => ElementType.Float,
        "bfloat16" => ElementType.BFloat16,
        "float16" => ElementType.Float16,
        var other => throw json.Defect("dtype", "float32, bfloat16 or float16", other),
    };

    private static void CheckIds(JsonFields json, LlamaConfig config)
    {
        (string Name, int? Id)[] ids = [("bos_token_id", config.BosTokenId), ("pad_token_id", config.PadTokenId),
            .. config.EosTokenIds.Select(id => ("eos_token_id", (int?)id))];
        foreach (var (name, id) in ids)
            if (id < 0 || id >= config.VocabularySize) throw json.Defect(name, $"an id from 0 and below vocab_size = {config.VocabularySize}", $"{id}");
    }

    private static int Positive(JsonFields json, string name, int? absent = null)
    {
        var value = json.Whole(name) ?? absent ?? throw json.Defect(name, "a positive whole number", "none");
        return value > 0 ? value : throw json.Defect(name, "a positive whole number", $"{value}");
    }
}
