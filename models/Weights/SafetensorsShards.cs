using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;

namespace Halo.Models.Weights;

/// <summary>Writes the tensors of a checkpoint: one file, or shards with their index where it would be too large.</summary>
internal static class SafetensorsShards
{
    /// <summary>Transformers begins another file before one grows beyond this.</summary>
    public const long Bytes = 5_000_000_000;

    /// <param name="folder">Which is there.</param>
    /// <param name="tensors">In the order of the files.</param>
    /// <param name="metadata">Of each file.</param>
    /// <param name="shardBytes">A file holds no more, unless one tensor does.</param>
    public static void Write(
        string folder, IReadOnlyList<SafetensorsSource> tensors, IReadOnlyDictionary<string, string> metadata, long shardBytes = Bytes)
    {
        var shards = Cut(tensors, shardBytes);
        foreach (var (n, shard) in shards.Index())
            SafetensorsWriter.Write(Path.Combine(folder, FileName(n, shards.Count)), shard, metadata);
        if (shards.Count > 1)
            WriteIndex(Path.Combine(folder, CheckpointReader.IndexName), shards);
    }

    private static List<List<SafetensorsSource>> Cut(IReadOnlyList<SafetensorsSource> tensors, long shardBytes)
    {
        var shards = new List<List<SafetensorsSource>> { new() };
        var filled = 0L;
        foreach (var tensor in tensors)
        {
            var size = SizeBytes(tensor);
            if (filled > 0 && filled + size > shardBytes)
            {
                shards.Add([]);
                filled = 0;
            }
            filled += size;
            shards[^1].Add(tensor);
        }
        return shards;
    }

    private static long SizeBytes(SafetensorsSource tensor) => tensor.DType.SizeBytes(tensor.Shape.Aggregate(1L, (a, b) => a * b));

    private static string FileName(int shard, int count) => count == 1 ? CheckpointReader.SingleName : $"model-{shard + 1:D5}-of-{count:D5}.safetensors";

    private static void WriteIndex(string path, List<List<SafetensorsSource>> shards)
    {
        var places = new JsonObject(
            shards.Index().SelectMany(s => s.Item.Select(t => KeyValuePair.Create(t.Name, (JsonNode?)FileName(s.Index, shards.Count)))));
        var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = shards.Sum(s => s.Sum(SizeBytes)) }, ["weight_map"] = places };
        AtomicFile.WriteText(path, index.ToJsonString(JsonText.Indented) + "\n");
    }
}
