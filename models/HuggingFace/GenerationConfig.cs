using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Models.Json;

namespace Halo.Models.HuggingFace;

/// <summary>What is read of a <c>generation_config.json</c>: the ids that end a completion.</summary>
/// <param name="EosTokenIds">Any of these; empty where the file names none.</param>
public sealed record GenerationConfig(IReadOnlyList<int> EosTokenIds)
{
    public const string FileName = "generation_config.json";

    /// <summary>The file of a folder; null where there is none.</summary>
    /// <exception cref="HaloException">Damaged.</exception>
    public static GenerationConfig? Find(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return null;
        using var json = JsonFields.Open("read-generation-config", path);
        return new GenerationConfig(json.Wholes("eos_token_id"));
    }

    /// <summary>Lets whoever generates from a folder stop where its model learned to: Transformers asks this file, or config.json without it.</summary>
    /// <param name="folder">Of a model that is being written. A file that names all of the ids stays as it is.</param>
    /// <param name="stops">Ids that end a completion.</param>
    /// <exception cref="HaloException">Damaged, or it cannot be written.</exception>
    public static void WriteStops(string folder, IReadOnlyCollection<int> stops)
    {
        var named = Find(folder)?.EosTokenIds ?? DecoderConfig.Load(folder).EosTokenIds;
        if (stops.All(named.Contains))
            return;
        var path = Path.Combine(folder, FileName);
        var json = File.Exists(path) ? JsonNode.Parse(File.ReadAllText(path))!.AsObject() : [];
        json["eos_token_id"] = new JsonArray([.. named.Concat(stops.Order()).Distinct().Select(id => JsonValue.Create(id))]);
        AtomicFile.WriteText(path, json.ToJsonString(JsonText.Readable) + "\n");
    }
}
