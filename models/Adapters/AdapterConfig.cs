using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Json;

namespace Halo.Models.Adapters;

/// <summary>What PEFT's <c>adapter_config.json</c> says of a LoRA or DoRA adapter. [PEFT, LoraConfig]</summary>
/// <remarks>
/// Each field is honoured, or is at the value at which it does nothing; another one is refused by its name when the file is read, so that nothing which
/// changes the function is passed over. Fields that say where an adapter comes from are kept and written back.
/// </remarks>
public sealed record AdapterConfig
{
    public const string FileName = "adapter_config.json";

    /// <summary>The text of <c>target_modules</c> that means every linear layer but the head.</summary>
    public const string AllLinear = "all-linear";

    /// <summary>Rank of modules that <see cref="RankPattern"/> does not name.</summary>
    public required int Rank { get; init; }

    /// <summary>The product B A is multiplied by alpha over the rank, or over its root (<see cref="RankStabilized"/>).</summary>
    public required double Alpha { get; init; }

    public bool RankStabilized { get; init; }

    /// <summary>DoRA: the rows of W + s B A are brought to trained lengths.</summary>
    public bool Dora { get; init; }

    /// <summary>RoSA: the share of a weight's elements that are trained beside the factors; 0: none.</summary>
    public double Density { get; init; }

    /// <summary>Share of an adapter's inputs that training drops.</summary>
    public double Dropout { get; init; }

    /// <summary>Modules by name or by the end of their name; empty where <see cref="TargetPattern"/> says them.</summary>
    public IReadOnlyList<string> Targets { get; init; } = [];

    /// <summary>A regular expression for whole names of modules, or <see cref="AllLinear"/>.</summary>
    public string? TargetPattern { get; init; }

    public IReadOnlyList<string> Excluded { get; init; } = [];

    /// <summary>A regular expression for whole names of modules that get no adapter.</summary>
    public string? ExcludedPattern { get; init; }

    /// <summary>Layers that get adapters; null: all.</summary>
    public IReadOnlyList<int>? Layers { get; init; }

    /// <summary>What stands before a layer's number in a module's name; empty: anything.</summary>
    public IReadOnlyList<string> LayersPattern { get; init; } = [];

    /// <summary>Other ranks, by regular expressions for the end of a module's name; the first that matches counts.</summary>
    public IReadOnlyList<KeyValuePair<string, int>> RankPattern { get; init; } = [];

    public IReadOnlyList<KeyValuePair<string, double>> AlphaPattern { get; init; } = [];

    /// <summary>Modules that are trained as a whole.</summary>
    public IReadOnlyList<string> SavedModules { get; init; } = [];

    /// <summary>The object that was read, or null: <see cref="ToJson"/> begins with it.</summary>
    public JsonObject? Read { get; init; }

    /// <exception cref="HaloException">The file is missing or damaged, or has a field that Halo does not honour.</exception>
    public static AdapterConfig Load(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            throw new HaloException("adapter", folder, $"an adapter's folder, with {FileName}", Directory.Exists(folder) ? "another folder" : "no such folder",
                "Name a folder that PEFT or halo train wrote.");
        }
        using var json = JsonFields.Open("adapter", path);
        return AdapterFields.Parse(json) with { Read = JsonNode.Parse(File.ReadAllText(path))!.AsObject() };
    }

    /// <summary>The rank of a module.</summary>
    public int RankOf(string module) => ModulePatterns.Find(RankPattern, module, Rank);

    /// <summary>What multiplies B A.</summary>
    public double ScaleOf(string module)
    {
        var (rank, alpha) = (RankOf(module), ModulePatterns.Find(AlphaPattern, module, Alpha));
        return alpha / (RankStabilized ? Math.Sqrt(rank) : rank);
    }

    /// <summary>Elements that are trained of a weight.</summary>
    public long ElementsOf(Shape weight) => Density == 0 ? 0 : Math.Max(1, (long)Math.Round(Density * weight.ElementCount!.Value));

    /// <summary>As PEFT writes it: what was read with the values of this record, or PEFT's defaults with them.</summary>
    public string ToJson()
    {
        var json = Read?.DeepClone().AsObject() ?? AdapterFields.Defaults();
        json["peft_type"] = Density > 0 ? AdapterFields.Rosa : AdapterFields.Lora; // PEFT refuses what it would load in part
        if (Density > 0)
            json["d"] = Density;
        (json["r"], json["lora_alpha"], json["lora_dropout"]) = (Rank, Number(Alpha), Dropout);
        (json["use_rslora"], json["use_dora"]) = (RankStabilized, Dora);
        json["target_modules"] = TargetPattern is { } pattern ? pattern : Texts(Targets);
        json["exclude_modules"] = ExcludedPattern is { } excluded ? excluded : Excluded.Count > 0 ? Texts(Excluded) : null;
        json["layers_to_transform"] = Layers is { } layers ? new JsonArray([.. layers.Select(l => JsonValue.Create(l))]) : null;
        json["layers_pattern"] = LayersPattern.Count > 0 ? Texts(LayersPattern) : null;
        json["rank_pattern"] = new JsonObject(RankPattern.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)p.Value)));
        json["alpha_pattern"] = new JsonObject(AlphaPattern.Select(p => KeyValuePair.Create(p.Key, (JsonNode?)Number(p.Value))));
        json["modules_to_save"] = SavedModules.Count > 0 ? Texts(SavedModules) : null;
        return new JsonObject(json.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => KeyValuePair.Create(p.Key, p.Value?.DeepClone())))
            .ToJsonString(JsonText.Indented);
    }

    private static JsonArray Texts(IReadOnlyList<string> texts) => new([.. texts.Select(t => JsonValue.Create(t))]);

    /// <summary>A whole number where it is one, as PEFT has it.</summary>
    private static JsonValue Number(double value) =>
        value == Math.Floor(value) && Math.Abs(value) < int.MaxValue ? JsonValue.Create((int)value) : JsonValue.Create(value);
}
