using System.Text.Json;
using Halo.Models.Weights;

namespace Halo.Tests.Models.Llama;

/// <summary>Writes checkpoints in several files with an index, as Transformers does.</summary>
public static class Shards
{
    public static void Write(string folder, IReadOnlyList<SafetensorsSource> tensors, int count)
    {
        var places = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (n, shard) in tensors.Chunk((tensors.Count + count - 1) / count).Index())
        {
            var name = $"model-{n + 1:D5}-of-{count:D5}.safetensors";
            SafetensorsWriter.Write(Path.Combine(folder, name), shard);
            foreach (var tensor in shard)
                places[tensor.Name] = name;
        }
        File.WriteAllText(Path.Combine(folder, CheckpointReader.IndexName), JsonSerializer.Serialize(new { metadata = new { }, weight_map = places }));
    }
}
