using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Scale;

/// <summary>A Hugging Face folder of a large model: all of it as it would be, but weights of zeros, which are holes of sparse files.</summary>
/// <remarks>A reader sees files of full size; they take no time to write and no room on the disk.</remarks>
public static class SparseCheckpoint
{
    /// <summary>Transformers begins another file before one grows beyond this.</summary>
    private const long ShardBytes = 5_000_000_000;

    private const int SpecialTokens = 256;

    /// <summary>Standard deviation of weights that are filled, as models begin with.</summary>
    private const double Deviation = 0.02;

    /// <summary>Writes config.json, bfloat16 shards with their index, and a tokenizer of the vocabulary's size.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="folder">Where.</param>
    /// <param name="isFilled">Weights are normal values, the same 2^20 again and again, and take room on the disk.</param>
    public static void Write(LlamaShape shape, string folder, bool isFilled = false) => Write(Config(shape), folder, isFilled);

    /// <summary>As above, of what a config.json says.</summary>
    public static void Write(JsonObject json, string folder, bool isFilled = false)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), json.ToJsonString());
        var config = DecoderConfig.Load(folder);
        WriteWeights(config, folder, isFilled ? Normal(1 << 20) : []);
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), Tokenizer(config.VocabularySize).ToJsonString());
        File.Copy(Path.Combine(LlamaTiny.Folder, "tokenizer_config.json"), Path.Combine(folder, "tokenizer_config.json"));
    }

    private static JsonObject Config(LlamaShape shape) => new()
    {
        ["model_type"] = "llama",
        ["hidden_act"] = "silu",
        ["hidden_size"] = shape.Hidden,
        ["intermediate_size"] = shape.Ffn,
        ["num_hidden_layers"] = shape.Layers,
        ["num_attention_heads"] = shape.Heads,
        ["num_key_value_heads"] = shape.KvHeads,
        ["vocab_size"] = shape.Vocabulary,
        ["max_position_embeddings"] = 131072,
        ["bos_token_id"] = 0,
        ["eos_token_id"] = 1,
        ["rms_norm_eps"] = 1e-5,
        ["rope_theta"] = 500000,
        ["torch_dtype"] = "bfloat16",
    };

    private static void WriteWeights(DecoderConfig config, string folder, byte[] filling)
    {
        var shards = new List<List<(string Name, long[] Sizes)>> { new() };
        var filled = 0L;
        foreach (var (name, shape) in LlamaParameters.Of(config))
        {
            var size = 2 * shape.ElementCount!.Value;
            if (filled > 0 && filled + size > ShardBytes)
            {
                shards.Add([]);
                filled = 0;
            }
            filled += size;
            shards[^1].Add((name, shape.Sizes));
        }
        var places = new Dictionary<string, string>();
        foreach (var (n, shard) in shards.Index())
        {
            var file = $"model-{n + 1:D5}-of-{shards.Count:D5}.safetensors";
            WriteShard(Path.Combine(folder, file), shard, filling);
            foreach (var (name, _) in shard)
                places.Add(name, file);
        }
        File.WriteAllText(Path.Combine(folder, CheckpointReader.IndexName), JsonSerializer.Serialize(new { weight_map = places }));
    }

    private static void WriteShard(string path, List<(string Name, long[] Sizes)> tensors, byte[] filling)
    {
        var header = new JsonObject();
        var end = 0L;
        foreach (var (name, sizes) in tensors)
        {
            var start = end;
            end += 2 * sizes.Aggregate(1L, (a, b) => a * b);
            header[name] = JsonSerializer.SerializeToNode(new { dtype = "BF16", shape = sizes, data_offsets = new[] { start, end } });
        }
        var bytes = JsonSerializer.SerializeToUtf8Bytes(header);
        using var file = File.Create(path);
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, bytes.Length);
        file.Write(length);
        file.Write(bytes);
        if (filling.Length == 0)
            file.SetLength(file.Position + end);
        for (long at = 0; filling.Length > 0 && at < end; at += filling.Length)
            file.Write(filling.AsSpan(0, (int)Math.Min(filling.Length, end - at)));
    }

    /// <summary>Normal values in bfloat16.</summary>
    private static byte[] Normal(int count)
    {
        var random = new Random(1);
        var bytes = new byte[2 * count];
        for (var i = 0; i < count; i++)
        {
            var value = Deviation * random.NextNormal();
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2 * i), (ushort)(BitConverter.SingleToUInt32Bits((float)value) >> 16));
        }
        return bytes;
    }

    /// <summary>The bundled tokenizer with merges of all pairs of bytes and of pairs with a byte, as many as the vocabulary takes.</summary>
    private static JsonNode Tokenizer(long vocabulary)
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(LlamaTiny.Folder, "tokenizer.json")))!;
        var bytes = json["model"]!["vocab"]!.AsObject().Select(t => t.Key).Where(t => t.Length == 1).Order(StringComparer.Ordinal).ToList();
        var pairs = from a in bytes from b in bytes select (Left: a, Right: b);
        var triples = from pair in pairs from c in bytes select (Left: pair.Left + pair.Right, Right: c);
        var merges = pairs.Concat(triples).Take((int)vocabulary - bytes.Count - SpecialTokens).ToList();
        var symbols = bytes.Concat(merges.Select(m => m.Left + m.Right)).ToList();
        json["model"]!["vocab"] = new JsonObject(symbols.Select((s, id) => KeyValuePair.Create(s, (JsonNode?)id)));
        json["model"]!["merges"] = new JsonArray([.. merges.Select(m => new JsonArray(m.Left, m.Right))]);
        var tokens = json["added_tokens"]!.AsArray();
        var named = tokens.Count;
        for (var n = 0; n < SpecialTokens; n++)
        {
            if (n == tokens.Count)
                tokens.Add(tokens[0]!.DeepClone());
            tokens[n]!["id"] = symbols.Count + n;
            if (n >= named)
                tokens[n]!["content"] = $"<|reserved_{n}|>";
        }
        json["post_processor"] = null;
        return json;
    }
}
