using Halo.CustomOps;
using Halo.Io;
using Halo.Models.GenAi;
using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;
using Halo.Serialization;

namespace Halo.Runner.Generation;

/// <summary>A folder that serves a model: graph, configs and tokenizer, found whole and made for each other before anything runs.</summary>
/// <remarks>
/// model.onnx (<see cref="InferenceInterface"/>) with its weights inside or in model.onnx.data, genai_config.json, config.json, tokenizer.json, and perhaps
/// generation_config.json and the tokenizer's other files. ONNX Runtime GenAI loads it as it is.
/// </remarks>
internal sealed class InferenceFolder
{
    /// <summary>What the folder's marker calls it.</summary>
    public const string Kind = "inference";

    public const string ModelName = "model.onnx";
    private const string Reader = "open-inference-folder";

    private InferenceFolder(string path, GenAiConfig genAi, DecoderConfig config, InferenceGraph graph, HfTokenizer tokenizer) =>
        (Path, GenAi, Config, Graph, Tokenizer) = (path, genAi, config, graph, tokenizer);

    public string Path { get; }

    public GenAiConfig GenAi { get; }

    public DecoderConfig Config { get; }

    public InferenceGraph Graph { get; }

    public HfTokenizer Tokenizer { get; }

    /// <summary>The graph's file.</summary>
    public string ModelPath => In(Path, GenAi.Model.Decoder.Filename);

    /// <summary>Tokens of a row, prompt and completion together.</summary>
    public int MaxPositions => GenAi.Model.ContextLength;

    /// <summary>Whether a path looks like one: it has a genai_config.json, or a marker that says so.</summary>
    public static bool Is(string path) =>
        OwnedFolder.KindOf(path) == Kind || File.Exists(In(path, GenAiConfig.FileName));

    /// <summary>Opens and checks a folder. Weights are not read, but all of them are there.</summary>
    /// <exception cref="HaloException">What is missing, damaged or belongs to another model, with what to do about it.</exception>
    public static InferenceFolder Open(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        if (!Is(path))
        {
            throw new HaloException(Reader, path, $"an inference folder ({ModelName}, {GenAiConfig.FileName})",
                Directory.Exists(path) ? "another folder" : File.Exists(path) ? "a file" : "no such folder", "Name a folder that halo export wrote.");
        }
        Require(path, GenAiConfig.FileName);
        var genAi = GenAiConfig.Load(In(path, GenAiConfig.FileName));
        var file = genAi.Model.Decoder.Filename;
        if (file != System.IO.Path.GetFileName(file))
            throw Refused(In(path, GenAiConfig.FileName), "a file beside it as decoder.filename", $"'{file}'", "Put the graph into the folder.");
        foreach (var name in (string[])[file, "config.json", "tokenizer.json"])
            Require(path, name);
        var config = DecoderConfig.Load(path);
        var graph = InferenceGraph.Of(OnnxReader.Read(In(path, file), HaloOperators.Catalogue), In(path, file));
        var tokenizer = HfTokenizer.Load(path);
        CheckGenAi(In(path, GenAiConfig.FileName), genAi, config.Family, graph);
        CheckConfig(In(path, "config.json"), config, graph);
        if (tokenizer.VocabularySize > graph.Vocabulary)
        {
            throw Refused(In(path, "tokenizer.json"), $"at most {graph.Vocabulary} ids, the logits of {file}", $"{tokenizer.VocabularySize}",
                "Copy the tokenizer that the model was trained with.");
        }
        return new InferenceFolder(path, genAi, config, graph, tokenizer);
    }

    private static void CheckGenAi(string path, GenAiConfig genAi, DecoderFamily family, InferenceGraph graph)
    {
        var (model, decoder) = (genAi.Model, genAi.Model.Decoder);
        Same(path, "model.type", family.GenAiType, model.Type);
        Same(path, "decoder.inputs", new GenAiInputs(), decoder.Inputs);
        Same(path, "decoder.outputs", new GenAiOutputs(), decoder.Outputs);
        Same(path, "model.vocab_size", graph.Vocabulary, model.VocabSize);
        Same(path, "decoder.num_hidden_layers", graph.Layers, decoder.NumHiddenLayers);
        Same(path, "decoder.num_key_value_heads", graph.KeyValueHeads, decoder.NumKeyValueHeads);
        Same(path, "decoder.head_size", graph.HeadSize, decoder.HeadSize);
        Same(path, "decoder.num_attention_heads", graph.Heads, decoder.NumAttentionHeads);
        if (model.ContextLength > graph.Positions)
        {
            throw Refused($"{path}: 'model.context_length'", $"at most {graph.Positions}, the positions of the graph's rotary tables", $"{model.ContextLength}",
                "Lower it, or export the model for more positions.");
        }
    }

    private static void CheckConfig(string path, DecoderConfig config, InferenceGraph graph)
    {
        Same(path, "vocab_size", graph.Vocabulary, config.VocabularySize);
        Same(path, "num_hidden_layers", graph.Layers, config.Layers);
        Same(path, "num_key_value_heads", graph.KeyValueHeads, config.KeyValueHeads);
        Same(path, "head_dim", graph.HeadSize, config.HeadDim);
        Same(path, "num_attention_heads", graph.Heads, config.Heads);
    }

    private static void Same<T>(string path, string field, T inGraph, T found) where T : notnull
    {
        if (!inGraph.Equals(found))
            throw Refused($"{path}: '{field}'", $"{inGraph}, as the graph has it", $"{found}", "The file belongs to another model; export the model again.");
    }

    private static void Require(string folder, string name)
    {
        if (!File.Exists(In(folder, name)))
            throw Refused(In(folder, name), "a file of the inference folder", "no such file", "Copy the whole folder, or export the model again.");
    }

    private static string In(string folder, string name) => System.IO.Path.Combine(folder, name);

    private static HaloException Refused(string subject, string expected, string found, string advice) => new(Reader, subject, expected, found, advice);
}
