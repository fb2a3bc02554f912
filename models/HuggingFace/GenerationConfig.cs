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
}
