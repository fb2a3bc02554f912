using Halo.Ir;
using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>
/// Turns the fields of a <c>config.json</c> into a <see cref="DecoderConfig"/>; Transformers' defaults for fields it omits. [Transformers, LlamaConfig and
/// those of the other families]
/// </summary>
internal static class DecoderConfigParser
{
    /// <summary>The largest LLaMA has 126. A number beyond this is a slip, and its graph would not fit into memory.</summary>
    private const int MaxLayers = 1024;

    internal static DecoderConfig Parse(JsonFields json, DecoderFamily family)
    {
        CheckUnsupported(json, family);
        var hidden = Positive(json, "hidden_size");
        var heads = Positive(json, "num_attention_heads");
        var keyValueHeads = Positive(json, "num_key_value_heads", family.AbsentKeyValueHeads ?? heads);
        if (heads % keyValueHeads != 0) throw json.Defect("num_key_value_heads", $"a divisor of {heads} heads", $"{keyValueHeads}");
        var absentHeadDim = family.AbsentHeadDim ?? hidden / heads;
        if (json.Whole("head_dim") is null && family.AbsentHeadDim is null && hidden % heads != 0)
            throw json.Defect("hidden_size", $"a multiple of {heads} heads", $"{hidden}");
        var headDim = Positive(json, "head_dim", absentHeadDim);
        var layers = Positive(json, "num_hidden_layers");
        if (layers > MaxLayers) throw json.Defect("num_hidden_layers", $"at most {MaxLayers}", $"{layers}");
        if (headDim % 2 != 0) throw json.Defect("head_dim", "an even number, which rotary embedding needs", $"{headDim}");
        var epsilon = json.Number("rms_norm_eps") ?? family.AbsentEpsilon;
        if (epsilon <= 0) throw json.Defect("rms_norm_eps", "a positive number", $"{epsilon}");
        var positions = Positive(json, "max_position_embeddings", 2048);
        var rope = new RopeParser(json, positions);
        var rotaryDim = (int)(headDim * rope.Share(family.CanRotatePartly));
        if (rotaryDim % 2 != 0 || rotaryDim == 0)
            throw json.Defect("partial_rotary_factor", $"an even number of the {headDim} channels of a head", $"{rotaryDim}");
        var rotated = Rotated(json, family, layers);
        var config = new DecoderConfig
        {
            Family = family,
            HiddenSize = hidden,
            IntermediateSize = Positive(json, "intermediate_size"),
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDim = headDim,
            VocabularySize = Positive(json, "vocab_size"),
            MaxPositions = positions,
            RopeTheta = rope.Theta(),
            RopeScaling = rope.Scaling(rotaryDim),
            RotaryDim = rotaryDim == headDim ? 0 : rotaryDim,
            RmsNormEpsilon = epsilon,
            DType = DType(json),
            TieWordEmbeddings = json.Flag("tie_word_embeddings") ?? family.TiesWhereSilent,
            AttentionBias = json.Flag("attention_bias") ?? false,
            MlpBias = json.Flag("mlp_bias") ?? false,
            Windows = Windows(json, family, layers, rotated),
            Rotated = rotated,
            BosTokenId = json.Whole("bos_token_id"),
            EosTokenIds = json.Wholes("eos_token_id"),
            PadTokenId = json.Whole("pad_token_id"),
        };
        CheckIds(json, config);
        return config;
    }

    private static void CheckUnsupported(JsonFields json, DecoderFamily family)
    {
        if (json.Text("hidden_act") is { } act and not "silu") throw json.Unsupported("hidden_act", "silu", act);
        if (json.Whole("pretraining_tp") is { } slices and not 1) throw json.Unsupported("pretraining_tp", "1, products in one piece", $"{slices}");
        foreach (var name in new[] { "attention_dropout", "embd_pdrop", "resid_pdrop" })
            if (json.Number(name) is { } dropout and not 0) throw json.Unsupported(name, "0", $"{dropout}");
        if (json.Field("quantization_config") is not null)
            throw json.Unsupported("quantization_config", "a checkpoint that is not quantized", "quantization_config");
        foreach (var (name, isRead) in new[] { ("attention_bias", family.ReadsAttentionBias), ("mlp_bias", family.ReadsMlpBias), ("lm_head_bias", false) })
            if (!isRead && json.Flag(name) == true) throw json.Unsupported(name, $"false in a {family.ModelType}", "true");
    }

    /// <summary>Empty where every layer is.</summary>
    private static bool[] Rotated(JsonFields json, DecoderFamily family, int layers)
    {
        if (!family.LeavesLayersUnrotated)
            return [];
        const string List = "no_rope_layers"; // which says 1 of a layer that is rotated
        var interval = Positive(json, "no_rope_layer_interval", 4);
        bool[] rotated = json.Array(List) is null ? [.. Enumerable.Range(1, layers).Select(n => n % interval != 0)]
            : [.. json.Wholes(List).Select(n => n is 0 or 1 ? n == 1 : throw json.Defect(List, "0 or 1 for each layer", $"{n}"))];
        if (rotated.Length < layers) throw json.Defect(List, $"{layers} numbers, one for each layer", $"{rotated.Length}");
        return Array.TrueForAll(rotated[..layers], r => r) ? [] : rotated[..layers];
    }

    private static int[] Windows(JsonFields json, DecoderFamily family, int layers, bool[] rotated)
    {
        const string Window = "sliding_window";
        if (family.Window == WindowRule.None || (family.Window != WindowRule.Given && json.Flag("use_sliding_window") != true))
        {
            foreach (var type in json.Array("layer_types") ?? [])
                if (json.TextOf("layer_types", type) is var kind and not "full_attention")
                    throw json.Unsupported("layer_types", "full_attention in every layer", kind);
            return [];
        }
        // A field that says null is another thing than none: then there is no window.
        var says = json.Properties.Any(p => p.Name == Window);
        if (says && json.Field(Window) is null || !says && family.AbsentWindow is null)
            return [];
        var window = Positive(json, Window, family.AbsentWindow);
        if (json.Array("layer_types") is { } types)
        {
            if (types.Count != layers) throw json.Defect("layer_types", $"{layers} kinds, one for each layer", $"{types.Count}");
            return [.. types.Select(t => json.TextOf("layer_types", t) switch
            {
                "full_attention" => 0,
                "sliding_attention" => window,
                var other => throw json.Unsupported("layer_types", "full_attention or sliding_attention", other),
            })];
        }
        if (family.Window == WindowRule.UnrotatedLayers)
            return Array.TrueForAll(rotated, r => r) ? [] : Array.ConvertAll(rotated, r => r ? 0 : window);
        var first = family.Window == WindowRule.UpperLayers ? json.Whole("max_window_layers") ?? 28 : 0;
        return first >= layers ? [] : [.. Enumerable.Range(0, layers).Select(layer => layer < first ? 0 : window)];
    }

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
