using System.Text.Json;
using Halo.Ir;
using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>
/// Turns the fields of a LLaMA's <c>config.json</c> into a <see cref="DecoderConfig"/>; Transformers' defaults for fields it omits. [Transformers, LlamaConfig]
/// </summary>
internal static class LlamaConfigParser
{
    /// <summary>The largest LLaMA has 126. A number beyond this is a slip, and its graph would not fit into memory.</summary>
    private const int MaxLayers = 1024;

    internal static DecoderConfig Parse(JsonFields json)
    {
        if (json.Text("hidden_act") is { } act and not "silu") throw json.Unsupported("hidden_act", "silu", act);
        if (json.Whole("pretraining_tp") is { } slices and not 1) throw json.Unsupported("pretraining_tp", "1, products in one piece", $"{slices}");
        if (json.Number("attention_dropout") is { } dropout and not 0) throw json.Unsupported("attention_dropout", "0", $"{dropout}");
        if (json.Field("quantization_config") is not null)
            throw json.Unsupported("quantization_config", "a checkpoint that is not quantized", "quantization_config");
        var hidden = Positive(json, "hidden_size");
        var heads = Positive(json, "num_attention_heads");
        var keyValueHeads = Positive(json, "num_key_value_heads", heads);
        if (heads % keyValueHeads != 0) throw json.Defect("num_key_value_heads", $"a divisor of {heads} heads", $"{keyValueHeads}");
        if (json.Whole("head_dim") is null && hidden % heads != 0) throw json.Defect("hidden_size", $"a multiple of {heads} heads", $"{hidden}");
        var headDim = Positive(json, "head_dim", hidden / heads);
        var layers = Positive(json, "num_hidden_layers");
        if (layers > MaxLayers) throw json.Defect("num_hidden_layers", $"at most {MaxLayers}", $"{layers}");
        if (headDim % 2 != 0) throw json.Defect("head_dim", "an even number, which rotary embedding needs", $"{headDim}");
        var (newRope, oldRope) = (json.Object("rope_parameters"), json.Object("rope_scaling")); // Transformers 5, Transformers 4
        if ((newRope?.Number("partial_rotary_factor") ?? oldRope?.Number("partial_rotary_factor") ?? json.Number("partial_rotary_factor")) is { } share and not 1)
            throw json.Unsupported("partial_rotary_factor", "1, all channels of a head rotated", $"{share}");
        var epsilon = json.Number("rms_norm_eps") ?? 1e-6;
        if (epsilon <= 0) throw json.Defect("rms_norm_eps", "a positive number", $"{epsilon}");
        double[] thetas = [.. new[] { newRope?.Number("rope_theta"), oldRope?.Number("rope_theta"), json.Number("rope_theta") }.OfType<double>().Distinct()];
        if (thetas.Length > 1) throw json.Defect("rope_theta", "one value wherever it stands", string.Join(" and ", thetas));
        if (thetas is [<= 0 and var theta]) throw json.Defect("rope_theta", "a positive number", $"{theta}");
        RopeScaling?[] scalings = [.. new[] { newRope, oldRope }.OfType<JsonFields>().Select(Scaling).Distinct()];
        if (scalings.Length > 1)
            throw json.Defect("rope_parameters", $"the scaling of 'rope_scaling', {Described(scalings[1])}", Described(scalings[0]));
        var config = new DecoderConfig
        {
            HiddenSize = hidden,
            IntermediateSize = Positive(json, "intermediate_size"),
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDim = headDim,
            VocabularySize = Positive(json, "vocab_size"),
            MaxPositions = Positive(json, "max_position_embeddings", 2048),
            RopeTheta = thetas is [var given] ? given : 10000,
            RopeScaling = scalings is [var scaling] ? scaling : null,
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
        var (newType, oldType) = (rope.Text("rope_type"), rope.Text("type"));
        var type = newType ?? oldType ?? "default";
        if (oldType is not null && oldType != type) throw rope.Defect("rope_type", $"that of 'type', {oldType}", type);
        foreach (var nested in rope.Properties.Where(p => p.Value.ValueKind == JsonValueKind.Object))
            throw rope.Unsupported(nested.Name, "one rotary embedding for all layers", "another for each kind of layer");
        if (newType is null && oldType is null && rope.Field("factor") is not null)
            throw rope.Defect("rope_type", "a type of the scaling beside its 'factor'", "none");
        if (type == "default") return null;
        if (type is not ("linear" or "llama3")) throw rope.Unsupported("rope_type", "default, linear or llama3", type);
        var factor = rope.Number("factor") ?? throw rope.Defect("factor", "a number", "none");
        if (factor < 1) throw rope.Defect("factor", "a number from 1", $"{factor}");
        if (type == "linear") return new RopeScaling(type, factor, 0, 0, 0);
        var low = rope.Number("low_freq_factor") ?? throw rope.Defect("low_freq_factor", "a number", "none");
        var high = rope.Number("high_freq_factor") ?? throw rope.Defect("high_freq_factor", "a number", "none");
        if (low <= 0 || high <= low) throw rope.Defect("high_freq_factor", $"a number above low_freq_factor = {low} > 0", $"{high}");
        return new RopeScaling(type, factor, low, high, Positive(rope, "original_max_position_embeddings"));
    }

    private static string Described(RopeScaling? scaling) => scaling is null ? "none"
        : scaling.Type == "linear" ? $"linear, factor {scaling.Factor}"
        : $"llama3, factor {scaling.Factor}, frequencies {scaling.LowFrequencyFactor} to {scaling.HighFrequencyFactor}, context {scaling.OriginalContext}";

    private static ElementType DType(JsonFields json) => (json.Text("dtype") ?? json.Text("torch_dtype") ?? "float32") switch
    {
        "float32" => ElementType.Float,
        "bfloat16" => ElementType.BFloat16,
        "float16" => ElementType.Float16,
        var other => throw json.Unsupported("dtype", "float32, bfloat16 or float16", other),
    };

    private static void CheckIds(JsonFields json, DecoderConfig config)
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
