using System.Text.Json;
using System.Text.Json.Serialization;
using Halo.Io;
using Halo.Models.HuggingFace;
using Halo.Models.Json;

namespace Halo.Models.GenAi;

/// <summary>A <c>genai_config.json</c>: what ONNX Runtime GenAI must know of a decoder to run it. [ONNX Runtime GenAI 0.18, config reference]</summary>
/// <param name="Model">Sizes, ids and names.</param>
/// <param name="Search">What generates where the caller says nothing.</param>
internal sealed record GenAiConfig(GenAiModel Model, GenAiSearch Search)
{
    public const string FileName = "genai_config.json";
    private const string Reader = "read-genai-config";

    /// <summary>The config of an inference graph with the names of <see cref="GenAiInputs"/> and <see cref="GenAiOutputs"/>.</summary>
    /// <param name="config">The model's sizes.</param>
    /// <param name="eosIds">Ids that end a completion.</param>
    /// <param name="positions">Tokens of a row that the graph takes.</param>
    /// <param name="padId">Null takes that of the config, else the first of the ids that end a completion.</param>
    /// <exception cref="HaloException">The model has no BOS token, or none that ends a completion: GenAI wants both.</exception>
    public static GenAiConfig Of(DecoderConfig config, IReadOnlyList<int> eosIds, int positions, int? padId = null)
    {
        if (eosIds.Count == 0)
        {
            throw new HaloException("write-genai-config", "eos_token_id", "an id that ends a completion", "none",
                "Add it to config.json or generation_config.json.");
        }
        var decoder = new GenAiDecoder("model.onnx", config.HeadDim, config.HiddenSize, config.Heads, config.Layers, config.KeyValueHeads)
        {
            SessionOptions = new GenAiSessionOptions(),
            Inputs = new GenAiInputs(),
            Outputs = new GenAiOutputs(),
        };
        return new GenAiConfig(
            new GenAiModel(config.Family.GenAiType, config.VocabularySize, positions, decoder)
            {
                BosTokenId = config.BosTokenId
                    ?? throw new HaloException("write-genai-config", "bos_token_id", "an id that begins a text", "none", "Add it to config.json."),
                EosTokenId = [.. eosIds],
                PadTokenId = padId ?? config.PadTokenId ?? eosIds[0],
            },
            new GenAiSearch { MaxLength = positions });
    }

    /// <summary>Reads a config of a decoder. What GenAI has beyond these fields is not looked at.</summary>
    /// <exception cref="HaloException">Missing, damaged, or without a field that is read here.</exception>
    public static GenAiConfig Load(string path)
    {
        using var json = JsonFields.Open(Reader, path);
        var model = json.Object("model") ?? throw json.Defect("model", "an object", "none");
        var decoder = model.Object("decoder") ?? throw model.Defect("decoder", "an object", "none");
        var (inputs, outputs, search) = (decoder.Object("inputs"), decoder.Object("outputs"), json.Object("search"));
        var (names, results) = (new GenAiInputs(), new GenAiOutputs());
        return new GenAiConfig(
            new GenAiModel(model.Text("type") ?? throw model.Defect("type", "a kind of model", "none"), Size(model, "vocab_size"),
                Size(model, "context_length"),
                new GenAiDecoder(decoder.Text("filename") ?? throw decoder.Defect("filename", "the graph's file", "none"), Size(decoder, "head_size"),
                    Size(decoder, "hidden_size"), Size(decoder, "num_attention_heads"), Size(decoder, "num_hidden_layers"),
                    Size(decoder, "num_key_value_heads"))
                {
                    Inputs = new GenAiInputs
                    {
                        InputIds = inputs?.Text("input_ids") ?? names.InputIds,
                        AttentionMask = inputs?.Text("attention_mask") ?? names.AttentionMask,
                        PastKeyNames = inputs?.Text("past_key_names") ?? names.PastKeyNames,
                        PastValueNames = inputs?.Text("past_value_names") ?? names.PastValueNames,
                    },
                    Outputs = new GenAiOutputs
                    {
                        Logits = outputs?.Text("logits") ?? results.Logits,
                        PresentKeyNames = outputs?.Text("present_key_names") ?? results.PresentKeyNames,
                        PresentValueNames = outputs?.Text("present_value_names") ?? results.PresentValueNames,
                    },
                })
            {
                BosTokenId = model.Whole("bos_token_id"),
                EosTokenId = [.. model.Wholes("eos_token_id")],
                PadTokenId = model.Whole("pad_token_id"),
            },
            new GenAiSearch { MaxLength = search?.Whole("max_length") ?? Size(model, "context_length") });
    }

    /// <summary>The text of the file.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, JsonText.IndentedSnake) + "\n";

    /// <summary>Writes <see cref="FileName"/> into a folder, atomically.</summary>
    public void Write(string folder) => AtomicFile.WriteText(Path.Combine(folder, FileName), ToJson());

    private static int Size(JsonFields json, string name) => json.Whole(name) is { } size and > 0 ? size
        : throw json.Defect(name, "a whole number above 0", json.Field(name)?.GetRawText() ?? "none");
}

/// <summary>Section <c>model</c>.</summary>
/// <param name="Type">The kind of model GenAI runs it as: <c>llama</c>.</param>
/// <param name="VocabSize">V, the logits' last size.</param>
/// <param name="ContextLength">Tokens of a row that the graph takes.</param>
/// <param name="Decoder">The graph.</param>
internal sealed record GenAiModel(string Type, int VocabSize, int ContextLength, GenAiDecoder Decoder)
{
    public int? BosTokenId { get; init; }

    /// <summary>A list, also where there is one.</summary>
    public IReadOnlyList<int> EosTokenId { get; init; } = [];

    public int? PadTokenId { get; init; }
}

/// <summary>Section <c>decoder</c>.</summary>
/// <param name="Filename">The graph, beside this file.</param>
/// <param name="HeadSize">D.</param>
/// <param name="HiddenSize">C.</param>
/// <param name="NumAttentionHeads">Heads of queries.</param>
/// <param name="NumHiddenLayers">Layers, each with a cache.</param>
/// <param name="NumKeyValueHeads">Heads of keys and values.</param>
internal sealed record GenAiDecoder(string Filename, int HeadSize, int HiddenSize, int NumAttentionHeads, int NumHiddenLayers, int NumKeyValueHeads)
{
    /// <summary>How GenAI makes the session; null leaves its defaults.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public GenAiSessionOptions? SessionOptions { get; init; }

    public GenAiInputs Inputs { get; init; } = new();

    public GenAiOutputs Outputs { get; init; } = new();
}

/// <summary>Section <c>session_options</c>: no provider but the CPU.</summary>
internal sealed record GenAiSessionOptions
{
    public string LogId { get; init; } = "onnxruntime-genai";

    public IReadOnlyList<object> ProviderOptions { get; init; } = [];
}

/// <summary>Names of the graph's inputs; <c>%d</c> is a layer, from 0.</summary>
internal sealed record GenAiInputs
{
    public string InputIds { get; init; } = "input_ids";

    public string AttentionMask { get; init; } = "attention_mask";

    public string PastKeyNames { get; init; } = "past_key_values.%d.key";

    public string PastValueNames { get; init; } = "past_key_values.%d.value";
}

/// <summary>Names of the graph's outputs; <c>%d</c> is a layer, from 0.</summary>
internal sealed record GenAiOutputs
{
    public string Logits { get; init; } = "logits";

    public string PresentKeyNames { get; init; } = "present.%d.key";

    public string PresentValueNames { get; init; } = "present.%d.value";
}

/// <summary>Section <c>search</c>: greedy, unless the caller asks for something else.</summary>
internal sealed record GenAiSearch
{
    public bool DoSample { get; init; }

    public bool EarlyStopping { get; init; } = true;

    /// <summary>Prompt and completion together.</summary>
    public required int MaxLength { get; init; }

    public int MinLength { get; init; }

    public int NumBeams { get; init; } = 1;

    public int NumReturnSequences { get; init; } = 1;

    public double LengthPenalty { get; init; } = 1;

    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>Caches of <see cref="MaxLength"/> tokens from the start, written in place.</summary>
    public bool PastPresentShareBuffer { get; init; }

    public double Temperature { get; init; } = 1;

    public int TopK { get; init; } = 1;

    public double TopP { get; init; } = 1;
}
