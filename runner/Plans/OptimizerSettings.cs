using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.CustomOps;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Runner.Training;
using Halo.Serialization;

namespace Halo.Runner.Plans;

/// <summary>The settings of the optimizer graph: of a config, and as an artifact keeps them.</summary>
internal static class OptimizerSettings
{
    public static AdamWSettings Of(TrainConfig config) =>
        new(config.Beta1, config.Beta2, config.Epsilon, config.WeightDecay, config.ClipNorm, config.WeightDecayExclude, config.Moments);

    /// <summary>By the keys of the config.</summary>
    public static JsonNode ToJson(AdamWSettings settings) => JsonSerializer.SerializeToNode(settings, JsonText.Readable)!;

    /// <summary>What <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="JsonException">Something else.</exception>
    public static AdamWSettings Parse(JsonNode json) => json.Deserialize<AdamWSettings>(JsonText.Readable) ?? throw new JsonException("null");

    /// <summary>The settings of an optimizer graph of Halo 0.1, whose manifest does not say them: its constants, in float32.</summary>
    /// <exception cref="HaloException">The file is no such graph.</exception>
    public static AdamWSettings OfGraph(string path)
    {
        var constants = OnnxReader.Read(path, HaloOperators.Catalogue).Graph.Initializers.ToDictionary(v => v.Name, v => v.Initializer!, StringComparer.Ordinal);
        double? Find(string name) => constants.GetValueOrDefault(name) is { Type: ElementType.Float, ElementCount: 1 } constant
            ? constant.ToArray<float>()[0] : null;
        double Get(string name) => Find(name)
            ?? throw new HaloException("artifact", path, $"an optimizer graph with a constant '{name}'", "none", "Prepare the artifact again.");
        return new AdamWSettings(Get("beta1"), Get("beta2"), Get("epsilon"), Find("weight_decay") ?? 0, Find("clip_norm"));
    }

    /// <summary>Throws where a config asks for other settings than a graph has, and names the first. Numbers are compared in float32, as graphs hold them.</summary>
    /// <param name="config">What is asked for.</param>
    /// <param name="prepared">What the graph has.</param>
    /// <param name="artifact">What messages call the graph's folder.</param>
    /// <exception cref="HaloException">They differ.</exception>
    public static void Check(TrainConfig config, AdamWSettings prepared, string artifact)
    {
        var (asked, has) = (ToJson(Of(config)).AsObject(), ToJson(prepared).AsObject());
        foreach (var (key, wish) in asked)
        {
            if (!Same(wish, has[key]))
            {
                throw new HaloException("train", key, $"{Text(has[key])}, which {artifact} was prepared with", Text(wish),
                    "Give the settings that the artifact was prepared with, or prepare it again.");
            }
        }
    }

    private static bool Same(JsonNode? a, JsonNode? b) => Single(a) is { } x && Single(b) is { } y ? x == y : JsonNode.DeepEquals(a, b);

    private static float? Single(JsonNode? node) => node?.GetValueKind() == JsonValueKind.Number ? (float)node.GetValue<double>() : null;

    private static string Text(JsonNode? value) => Single(value)?.ToString("R", CultureInfo.InvariantCulture) ?? value?.ToJsonString() ?? "null";
}
