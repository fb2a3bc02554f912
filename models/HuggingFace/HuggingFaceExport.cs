using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Weights;

namespace Halo.Models.HuggingFace;

/// <summary>Writes a model as a Hugging Face folder in a float type, streamed: shards with their index where one file would be too large.</summary>
public static class HuggingFaceExport
{
    private const string Config = "config.json";

    /// <summary>As below, of a folder or file of safetensors.</summary>
    public static void Write(
        IReadOnlyList<string> companions, string weights, string target, string kind, ElementType? type = null, long shardBytes = SafetensorsShards.Bytes)
    {
        HuggingFaceFolder.CheckPlaces(companions, weights, target);
        using var checkpoint = CheckpointReader.Open(weights);
        Write(companions, checkpoint.Tensors.ToDictionary(t => t.Key, t => new Tensor(t.Value.DType, t.Value.Shape, t.Value)), target, kind, type, shardBytes);
    }

    /// <summary>Writes <paramref name="target"/> as a whole or not at all.</summary>
    /// <param name="companions">Where config.json and the tokenizer's files are looked for; the first folder that has one gives it.</param>
    /// <param name="tensors">By name, in the order of the files.</param>
    /// <param name="target">A new or empty folder, or one that Halo wrote, which is replaced.</param>
    /// <param name="kind">What the folder's marker calls it.</param>
    /// <param name="type">Float, Float16 or BFloat16, rounded to nearest even; null keeps each tensor's own. <c>dtype</c> of config.json follows.</param>
    /// <param name="shardBytes">A file holds no more, unless one tensor does.</param>
    /// <exception cref="HaloException">No config.json; a tensor that is not floating point, or has a finite value beyond the type; the target is not
    /// Halo's.</exception>
    public static void Write(
        IReadOnlyList<string> companions, IReadOnlyDictionary<string, Tensor> tensors, string target, string kind, ElementType? type = null,
        long shardBytes = SafetensorsShards.Bytes)
    {
        Check(companions, tensors, type);
        OwnedFolder.Write(target, kind, folder => Fill(companions, tensors, folder, type, shardBytes));
    }

    /// <summary>As <see cref="Write(IReadOnlyList{string}, IReadOnlyDictionary{string, Tensor}, string, string, ElementType?, long)"/>, into a folder that is
    /// there.</summary>
    public static void Fill(
        IReadOnlyList<string> companions, IReadOnlyDictionary<string, Tensor> tensors, string folder, ElementType? type = null,
        long shardBytes = SafetensorsShards.Bytes)
    {
        Check(companions, tensors, type);
        var metadata = new Dictionary<string, string> { ["format"] = "pt" }; // without it Transformers refuses the file
        HuggingFaceFolder.WriteCompanions(companions, folder);
        if (type is { } to)
            WriteType(Path.Combine(folder, Config), to);
        SafetensorsShards.Write(folder, [.. tensors.Select(t => Source(t.Key, t.Value, type))], metadata, shardBytes);
    }

    private static void Check(IReadOnlyList<string> companions, IReadOnlyDictionary<string, Tensor> tensors, ElementType? type)
    {
        HuggingFaceFolder.CheckCompanions(companions);
        foreach (var (name, tensor) in tensors)
        {
            if (type is not null && !tensor.Type.IsFloat())
                throw Refusal($"tensor '{name}'", "floating point values", tensor.Type.Name(), "Start from the checkpoint before it was quantized.");
        }
    }

    /// <summary>Says the type in the word that the file has: <c>dtype</c> of Transformers 5, else <c>torch_dtype</c>, which every version reads.</summary>
    private static void WriteType(string path, ElementType type)
    {
        var config = ReadConfig(path);
        config[config.ContainsKey("dtype") ? "dtype" : "torch_dtype"] = type switch
        {
            ElementType.Float => "float32",
            ElementType.Float16 => "float16",
            ElementType.BFloat16 => "bfloat16",
            _ => throw Refusal(path, "float, float16 or bfloat16", type.Name(), "Choose one of them."),
        };
        AtomicFile.WriteText(path, config.ToJsonString(JsonText.Indented) + "\n");
    }

    private static JsonObject ReadConfig(string path)
    {
        try
        {
            return JsonNode.Parse(File.ReadAllText(path)) as JsonObject ?? throw Refusal(path, "a JSON object", "another value", "Fetch the file again.");
        }
        catch (JsonException e)
        {
            throw new HaloException("write-folder", path, "a JSON object", e.Message.TrimEnd('.'), "Fetch the file again.", e);
        }
    }

    private static SafetensorsSource Source(string name, Tensor tensor, ElementType? type) => new(name, type ?? tensor.Type, tensor.Sizes, stream =>
    {
        var (floats, bytes) = (Array.Empty<float>(), Array.Empty<byte>());
        tensor.ReadChunks(chunk =>
        {
            if (type is not { } to || to == tensor.Type)
            {
                stream.Write(chunk);
                return true;
            }
            var count = chunk.Length / (tensor.Type.Bits() / 8);
            if (floats.Length < count)
                (floats, bytes) = (new float[count], new byte[to.SizeBytes(count)]);
            FloatConversions.ToFloat(tensor.Type, chunk, floats.AsSpan(0, count));
            if (FloatConversions.FirstBeyond(to, floats.AsSpan(0, count)) is { } value)
                throw Refusal($"tensor '{name}'", $"values that {to.Name()} holds", $"{value:g7}", "Choose bf16 or fp32.");
            var target = bytes.AsSpan(0, (int)to.SizeBytes(count));
            FloatConversions.FromFloat(to, floats.AsSpan(0, count), target);
            stream.Write(target);
            return true;
        });
    });

    private static HaloException Refusal(string subject, string expected, string found, string advice) => new("write-folder", subject, expected, found, advice);
}
