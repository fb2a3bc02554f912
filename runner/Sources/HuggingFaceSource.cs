using System.Text.RegularExpressions;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Runner.Training;

namespace Halo.Runner.Sources;

/// <summary>A Hugging Face folder as the model of a run: its graph is built from config.json, its weights and tokenizer are the defaults.</summary>
internal sealed partial class HuggingFaceSource
{
    /// <summary>Rows and tokens of a run of the graph where neither is given; fewer tokens where the model takes fewer.</summary>
    public const int DefaultBatch = 8, DefaultSequence = 256;

    private const string Models = "a Hugging Face folder, a forward or training graph (.onnx), or an artifact of halo prepare";

    private HuggingFaceSource(string folder, DecoderConfig config) => (Folder, Config) = (folder, config);

    public string Folder { get; }

    public DecoderConfig Config { get; }

    /// <summary>The file that the graph follows from.</summary>
    public string ConfigPath => Path.Combine(Folder, "config.json");

    public static bool Is(string path) => File.Exists(Path.Combine(path, "config.json"));

    /// <exception cref="HaloException">No config.json, or one of a model that Halo does not build.</exception>
    public static HuggingFaceSource Open(string folder)
    {
        if (!Is(folder))
        {
            var isAdapter = File.Exists(Path.Combine(folder, "adapter_config.json"));
            throw new HaloException("model", folder, "a Hugging Face folder with a config.json",
                isAdapter ? "an adapter alone" : Directory.Exists(folder) ? "another folder" : "no such folder",
                isAdapter ? "Merge it into its model (in PEFT: merge_and_unload) and save that." : $"Name {Models}.");
        }
        return new HuggingFaceSource(folder, DecoderConfig.Load(folder));
    }

    /// <summary>What to do where nothing is at a path: it may be a name on a hub.</summary>
    public static string MissingAdvice(string path) => HubName().IsMatch(Path.GetRelativePath(Environment.CurrentDirectory, path))
        ? "Check the path; a name on a hub is none: download the files and name what they lie in." : "Check the path.";

    /// <summary>The config's model as a Hugging Face folder; null where it is a graph.</summary>
    /// <exception cref="HaloException">Another folder, or nothing.</exception>
    public static HuggingFaceSource? Of(TrainConfig config)
    {
        if (!Path.Exists(config.Model))
        {
            throw new HaloException("model", config.Model, Models, "no such file or folder", MissingAdvice(config.Model));
        }
        if (File.Exists(config.Model) && Path.GetExtension(config.Model).ToLowerInvariant()
            is ".jsonl" or ".json" or ".safetensors" or ".yaml" or ".yml" or ".jinja")
        {
            throw new HaloException("model", config.Model, Models, $"a file of {Path.GetExtension(config.Model)}",
                Path.GetExtension(config.Model) == ".jsonl" ? "Give rows as --data, and the model's folder as --model." : "Name the folder that it lies in.");
        }
        return Directory.Exists(config.Model) ? Open(config.Model) : null;
    }

    /// <summary>The forward graph with its loss, parameters as inputs.</summary>
    /// <param name="batch">Rows; null takes the default.</param>
    /// <param name="sequence">Tokens of a row; null takes the default.</param>
    /// <param name="type">Of activations, and of parameters where nothing else is said.</param>
    /// <param name="parameterType">Of parameters.</param>
    /// <param name="packed">Rows hold several documents.</param>
    /// <exception cref="HaloException">Sizes that the model does not take.</exception>
    public Model Build(int? batch, int? sequence, ElementType type = ElementType.Float, ElementType? parameterType = null, bool packed = false) =>
        LlamaGraph.Build(Config, batch ?? DefaultBatch, sequence ?? Math.Min(DefaultSequence, Config.CachedPositions), packed: packed, type: type,
            parameterType: parameterType);

    /// <summary>Throws unless the weights are the model's; says which tensors are left out.</summary>
    /// <param name="weights">A safetensors file, or a folder of one or several.</param>
    /// <param name="say">Takes a line.</param>
    public void CheckWeights(string weights, Action<string> say)
    {
        using var checkpoint = CheckpointReader.Open(weights);
        if (checkpoint.Prefix.Length > 0)
            say($"{weights}: names are taken without '{checkpoint.Prefix}', which a wrapper put before all of them");
        if (LlamaCheckpoint.Check(Config, checkpoint) is { Count: > 0 } unneeded)
            say($"{weights}: {unneeded.Count} tensors that the model does not need: {unneeded[0]}{(unneeded.Count > 1 ? " and so on" : "")}");
    }

    [GeneratedRegex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
    private static partial Regex HubName();
}
