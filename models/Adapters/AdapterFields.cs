using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Models.Json;

namespace Halo.Models.Adapters;

/// <summary>The fields of <c>adapter_config.json</c>: those that are honoured, those that only inform, and what all others must be to do nothing.</summary>
internal static class AdapterFields
{
    /// <summary>Where an adapter comes from, and sizes that count only beside other fields.</summary>
    private static readonly HashSet<string> Informing = ["auto_mapping", "base_model_name_or_path", "inference_mode", "megatron_core", "peft_version",
        "qalora_group_size", "revision"];

    public const string Lora = "LORA", Rosa = "ROSA";

    private static readonly HashSet<string> Honoured = ["alpha_pattern", "bias", "d", "exclude_modules", "fan_in_fan_out", "init_lora_weights", "layers_pattern",
        "layers_to_transform", "lora_alpha", "lora_bias", "lora_dropout", "modules_to_save", "peft_type", "r", "rank_pattern", "target_modules", "task_type",
        "use_dora", "use_rslora"];

    /// <summary>As PEFT 0.21 writes them.</summary>
    private const string Written = """
        {"alora_invocation_tokens":null,"alpha_pattern":{},"arrow_config":null,"auto_mapping":null,"base_model_name_or_path":null,"bias":"none",
        "corda_config":null,"ensure_weight_tying":false,"eva_config":null,"exclude_modules":null,"fan_in_fan_out":false,"inference_mode":true,
        "init_lora_weights":true,"layer_replication":null,"layers_pattern":null,"layers_to_transform":null,"loftq_config":{},"lora_alpha":8,"lora_bias":false,
        "lora_dropout":0.0,"megatron_config":null,"megatron_core":"megatron.core","modules_to_save":null,"peft_type":"LORA","qalora_group_size":16,"r":8,
        "rank_pattern":{},"revision":null,"target_modules":null,"target_parameters":null,"task_type":"CAUSAL_LM","trainable_token_indices":null,
        "use_dora":false,"use_qalora":false,"use_rslora":false}
        """;

    public static JsonObject Defaults() => JsonNode.Parse(Written)!.AsObject();

    public static AdapterConfig Parse(JsonFields json)
    {
        foreach (var field in json.Properties.Where(f => !Honoured.Contains(f.Name) && !Informing.Contains(f.Name) && !DoesNothing(f.Value)))
            throw json.Unsupported(field.Name, "a field that is null, false or empty: Halo does not honour it", Shown(field.Value));
        var isRosa = json.Text("peft_type") == Rosa;
        if (!isRosa)
            Only("peft_type", Lora);
        var density = json.Number("d") ?? 0;
        if (isRosa ? density is not (> 0 and <= 1) || json.Flag("use_dora") == true : density != 0)
            throw json.Defect("d", isRosa ? "a share above 0 to 1 with peft_type ROSA, and no use_dora" : "none with peft_type LORA", $"{density}");
        Only("task_type", "CAUSAL_LM");
        Only("bias", "none");
        foreach (var name in new[] { "fan_in_fan_out", "lora_bias" })
        {
            if (json.Flag(name) == true)
                throw json.Unsupported(name, "false", "true");
        }
        if (json.Field("init_lora_weights") is { } init && init.ValueKind is not (JsonValueKind.True or JsonValueKind.False)
            && !(init.ValueKind == JsonValueKind.String && init.GetString() == "gaussian"))
            throw json.Unsupported("init_lora_weights", "true, false or \"gaussian\", which leave the base as it is", Shown(init));
        if (json.Field("target_modules") is null)
            throw json.Unsupported("target_modules", "names of modules, or text", "null");
        var dropout = json.Number("lora_dropout") ?? 0;
        if (dropout is < 0 or >= 1)
            throw json.Defect("lora_dropout", "a share from 0 below 1", $"{dropout}");
        return new AdapterConfig
        {
            Rank = Rank(json, "r", json.Whole("r") ?? 8),
            Alpha = json.Number("lora_alpha") ?? 8,
            RankStabilized = json.Flag("use_rslora") ?? false,
            Dora = json.Flag("use_dora") ?? false,
            Density = density,
            Dropout = dropout,
            Targets = Names("target_modules"),
            TargetPattern = Pattern("target_modules"),
            Excluded = Names("exclude_modules"),
            ExcludedPattern = Pattern("exclude_modules"),
            Layers = json.Field("layers_to_transform") is null ? null : json.Wholes("layers_to_transform") is { Count: > 0 } layers ? layers : null,
            LayersPattern = Pattern("layers_pattern") is { } text ? text.Length > 0 ? [text] : [] : Names("layers_pattern"),
            RankPattern = json.Object("rank_pattern") is not { } ranks ? []
                : [.. ranks.Properties.Select(p => KeyValuePair.Create(p.Name, Rank(ranks, p.Name, ranks.WholeOf(p.Name, p.Value))))],
            AlphaPattern = json.Object("alpha_pattern") is not { } alphas ? []
                : [.. alphas.Properties.Select(p => KeyValuePair.Create(p.Name, alphas.Number(p.Name) ?? throw alphas.Defect(p.Name, "a number", "null")))],
            SavedModules = json.Field("modules_to_save") is { ValueKind: JsonValueKind.String } module ? [module.GetString()!] : Names("modules_to_save"),
        };

        void Only(string name, string value)
        {
            if (json.Text(name) is { } found && found != value)
                throw json.Unsupported(name, value, found);
        }

        IReadOnlyList<string> Names(string name) => json.Field(name) is { ValueKind: JsonValueKind.String } ? []
            : [.. (json.Array(name) ?? []).Select(e => json.TextOf(name, e))];

        string? Pattern(string name) => json.Field(name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;
    }

    private static int Rank(JsonFields json, string name, int rank) => rank > 0 ? rank : throw json.Defect(name, "a rank from 1", $"{rank}");

    private static bool DoesNothing(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.False => true,
        JsonValueKind.Object => !value.EnumerateObject().Any(p => !DoesNothing(p.Value)),
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.String => value.GetString()!.Length == 0,
        _ => false,
    };

    private static string Shown(JsonElement value) => value.GetRawText() is { Length: > 80 } text ? text[..80] + "..." : value.GetRawText();
}
