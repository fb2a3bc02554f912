using Halo.Ir;
using Halo.Models.Json;
using Halo.Models.Llama;
using Halo.Models.Weights;

namespace Halo.Models.HuggingFace;

/// <summary>What one kind of decoder needs beyond its <see cref="DecoderConfig"/>: who runs or exports one asks here, and names no kind.</summary>
public sealed class DecoderFamily
{
    private DecoderFamily(
        string modelType, Func<JsonFields, DecoderConfig> parse, GraphBuilder build, Func<DecoderConfig, CheckpointReader, IReadOnlyList<string>> checkWeights) =>
        (ModelType, Parse, Build, CheckWeights) = (modelType, parse, build, checkWeights);

    /// <summary>Makes the forward graph with its loss, parameters as inputs, as <see cref="LlamaGraph.Build"/> does.</summary>
    public delegate Model GraphBuilder(
        DecoderConfig config, int batch, int sequence, bool packed = false, ElementType type = ElementType.Float, ElementType? parameterType = null);

    public static IReadOnlyList<DecoderFamily> All { get; } = [new("llama", LlamaConfigParser.Parse, LlamaGraph.Build, LlamaCheckpoint.Check)];

    /// <summary><c>model_type</c> of config.json, and of the config of ONNX Runtime GenAI.</summary>
    public string ModelType { get; }

    public GraphBuilder Build { get; }

    /// <summary>Throws unless a checkpoint is the model's; gives what it has beyond, as <see cref="LlamaCheckpoint.Check"/> does.</summary>
    public Func<DecoderConfig, CheckpointReader, IReadOnlyList<string>> CheckWeights { get; }

    /// <summary>Reads config.json, or refuses what no graph of the family honours.</summary>
    internal Func<JsonFields, DecoderConfig> Parse { get; }

    /// <summary>The family that a config names.</summary>
    /// <exception cref="HaloException">There is none of that name.</exception>
    internal static DecoderFamily Of(JsonFields config)
    {
        var type = config.Text("model_type");
        return All.FirstOrDefault(family => family.ModelType == type)
            ?? throw config.Unsupported("model_type", string.Join(", ", All.Select(family => family.ModelType)), type ?? "none");
    }
}
