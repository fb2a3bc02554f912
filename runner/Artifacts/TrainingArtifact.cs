using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Runs;
using Halo.Serialization;

namespace Halo.Runner.Artifacts;

/// <summary>A folder with everything a run needs: the graphs, the starting weights, the tokenizer, and what was done to the graphs.</summary>
/// <remarks>
/// training_model.onnx, eval_model.onnx (loss and logits), optimizer_model.onnx: the names of ONNX Runtime's training artifacts. forward_model.onnx: the
/// graph that was trained before it was rewritten, for export.
/// checkpoint/: a Hugging Face folder in the checkpoint's own type. manifest.json: interface, options, hashes, ledger. The same input and
/// options give the same bytes.
/// </remarks>
public sealed class TrainingArtifact
{
    public const string Kind = "artifact";

    /// <summary>The manifest's digests of the files of weights (<see cref="WeightsDigest"/>).</summary>
    private const string WeightsKey = "weights";

    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private TrainingArtifact(string folder, JsonObject manifest) => (Folder, Manifest) = (folder, manifest);

    public string Folder { get; }

    public JsonObject Manifest { get; }

    public string TrainingModel => Path.Combine(Folder, "training_model.onnx");

    public string EvalModel => Path.Combine(Folder, "eval_model.onnx");

    /// <summary>The forward graph as it was before the rewrite, in float32: what is exported and generates (<see cref="ForwardGraph"/>).</summary>
    public string ForwardModel => Path.Combine(Folder, "forward_model.onnx");

    public string OptimizerModel => Path.Combine(Folder, "optimizer_model.onnx");

    public string Checkpoint => Path.Combine(Folder, "checkpoint");

    /// <summary>The weights that training starts from.</summary>
    /// <exception cref="HaloException">They are not those of the day the artifact was made: a linked file was written into, or one was damaged.</exception>
    public CheckpointReader OpenWeights()
    {
        var kept = Manifest[WeightsKey]?.ToJsonString();
        if (kept != Digests(Checkpoint).ToJsonString())
        {
            throw new HaloException("artifact", Checkpoint, "the weights that the artifact was prepared with (weights in manifest.json)", "others",
                "Prepare the artifact again; large weights are linked, not copied, and must not be written into.");
        }
        return CheckpointReader.Open(Checkpoint);
    }

    public static bool Is(string path) => Directory.Exists(path) && OwnedFolder.KindOf(path) == Kind;

    /// <exception cref="HaloException">The folder is no artifact, or lacks a file.</exception>
    public static TrainingArtifact Open(string folder)
    {
        var manifest = Path.Combine(folder, "manifest.json");
        if (!File.Exists(manifest))
            throw new HaloException("artifact", folder, "an artifact with a manifest.json", "none", "Make one with halo prepare.");
        try
        {
            var artifact = new TrainingArtifact(Path.GetFullPath(folder), JsonNode.Parse(File.ReadAllText(manifest))!.AsObject());
            foreach (var file in new[] { artifact.TrainingModel, artifact.EvalModel, artifact.OptimizerModel, artifact.ForwardModel,
                Path.Combine(artifact.Checkpoint, "config.json") })
            {
                if (!File.Exists(file))
                    throw new HaloException("artifact", folder, Path.GetFileName(file), "no such file", "Prepare the artifact again.");
            }
            return artifact;
        }
        catch (JsonException e)
        {
            throw new HaloException("artifact", manifest, "JSON", e.Message.TrimEnd('.'), "Prepare the artifact again.", e);
        }
    }

    /// <summary>Reads, makes or builds the training graph of <paramref name="config"/>, rewrites it and writes the artifact, whole or not at all.</summary>
    /// <param name="config">Model, weights, sizes and rewrite.</param>
    /// <param name="folder">Where to.</param>
    /// <param name="say">Takes lines about what is done.</param>
    /// <exception cref="HaloException">Graph, weights or options are not right.</exception>
    public static TrainingArtifact Write(TrainConfig config, string folder, Action<string> say)
    {
        var passes = PassesOf(config);
        var rewritten = GraphRewriter.Rewrite(TrainingGraphSource.Of(config), passes);
        var model = rewritten.Model;
        var @interface = TrainingInterface.Of(model.Graph, config.Model);
        CheckSizes(config, @interface);
        var weights = WeightsOf(config);
        var companions = Companions(config);
        DataOf(config, @interface);
        TrainingGraphSource.Folder(config)?.CheckWeights(weights, say);
        using (var checkpoint = CheckpointReader.Open(weights))
            ParameterBuffers.Check(@interface.Parameters, weights, checkpoint.Tensors);

        OwnedFolder.Write(folder, Kind, target =>
        {
            var artifact = new TrainingArtifact(target, []);
            OnnxWriter.Write(model, artifact.TrainingModel);
            OnnxWriter.Write(EvaluationGraph.Of(OnnxReader.Read(artifact.TrainingModel)), artifact.EvalModel);
            OnnxWriter.Write(ForwardGraph.Of(config).Model, artifact.ForwardModel);
            OnnxWriter.Write(AdamWGraph.Build(@interface.Trained,
                OptimizerOf(config)), artifact.OptimizerModel);
            var kept = HuggingFaceFolder.Keep(companions, weights, artifact.Checkpoint, "model");
            if (kept.Values.Count(p => p == PlacedAs.Link) is > 0 and var links)
                say($"{weights}: {links} files of weights are linked, not copied; whoever writes into them changes the artifact, which is then refused");
            var manifest = Describe(config, rewritten, @interface);
            manifest["files"] = Hashes(target);
            manifest[WeightsKey] = Digests(artifact.Checkpoint);
            AtomicFile.WriteText(Path.Combine(target, "manifest.json"), manifest.ToJsonString(Json) + "\n");
        });
        return Open(folder);
    }

    /// <summary>Model config and tokenizer where the config has them, so that a complaint names the user's file and not a copy.</summary>
    /// <exception cref="HaloException">One is missing, damaged, or does not fit the graph.</exception>
    public static RunData DataOf(TrainConfig config, TrainingInterface @interface)
    {
        var companions = Companions(config);
        HuggingFaceFolder.CheckCompanions(companions);
        return new RunData(
            HuggingFaceFolder.Find(companions, "config.json")!, HuggingFaceFolder.Find(companions, "tokenizer.json") ?? companions[0], @interface);
    }

    /// <summary>The artifact that a config names as its model.</summary>
    /// <exception cref="HaloException">It is none, or the config asks for another rewrite or other weights than those it holds.</exception>
    public static TrainingArtifact OpenFor(TrainConfig config)
    {
        var prepared = new[]
        {
            ("scheme", config.Scheme != "none"), ("format", config.Format != "none"), ("pipeline", config.Pipeline is not null), ("rederive", config.Rederive),
            ("precision", config.Precision != FloatPrecision.Fp32), ("quantize", config.Quantize.Count > 0),
            ("weights", config.Weights is not null), ("tokenizer", config.Tokenizer is not null),
        };
        foreach (var (key, isGiven) in prepared)
        {
            if (isGiven)
            {
                throw new HaloException("train", key, $"it left out, for {config.Model} holds its own", "a value",
                    "Leave it out, or prepare another artifact.");
            }
        }
        return Open(config.Model);
    }

    public static AdamWSettings OptimizerOf(TrainConfig config) => new(config.Beta1, config.Beta2, config.Epsilon, config.WeightDecay, config.ClipNorm);

    /// <summary>The passes that a config calls for.</summary>
    public static IReadOnlyList<IGraphPass> PassesOf(TrainConfig config)
    {
        if (config.Pipeline is { } text)
            return Pipelines.Parse(text);
        var (scheme, format) = (HaloScheme.Parse(config.Scheme), GemmFormats.Parse(config.Format));
        return Pipelines.Rewrite(scheme, format,
            new LayerRules<HaloScheme>([.. config.Quantize.Select(r => (r.Match, r.Scheme is { } s ? HaloScheme.Parse(s) : scheme))]),
            new LayerRules<GemmFormats>([.. config.Quantize.Select(r => (r.Match, r.Format is { } f ? GemmFormats.Parse(f) : format))]), config.Rederive);
    }

    /// <summary>A training graph has its sizes; a config may repeat them but not ask for others.</summary>
    /// <exception cref="HaloException">It asks for others.</exception>
    public static void CheckSizes(TrainConfig config, TrainingInterface @interface)
    {
        foreach (var (key, wish, size) in new[] { ("micro_batch_size", config.MicroBatchSize, @interface.Rows),
            ("sequence_length", config.SequenceLength, @interface.Sequence) })
        {
            if (wish is { } other && other != size)
            {
                throw new HaloException("prepare", key, $"{size}, the size that {config.Model} was exported with", $"{other}",
                    "Leave it out, or export the graph at that size.");
            }
        }
    }

    /// <summary>Where config.json and the tokenizer's files lie: the tokenizer's folder, then the model's, then that of the weights.</summary>
    public static IReadOnlyList<string> Companions(TrainConfig config)
    {
        string FolderOf(string path) => Directory.Exists(path) ? path : Path.GetDirectoryName(Path.GetFullPath(path))!;
        var folders = new List<string>();
        if (config.Tokenizer is { } tokenizer)
            folders.Add(FolderOf(tokenizer));
        if (TrainingGraphSource.Folder(config) is { } model)
            folders.Add(model.Folder);
        folders.Add(FolderOf(WeightsOf(config)));
        return folders;
    }

    /// <summary>The starting weights: those given, or those of a Hugging Face folder that is the model.</summary>
    /// <exception cref="HaloException">Neither is there.</exception>
    public static string WeightsOf(TrainConfig config) => config.Weights ?? (Directory.Exists(config.Model) ? config.Model
        : throw new HaloException("prepare", "weights", "a safetensors file or folder", "none", "Give --weights."));

    /// <summary>By file.</summary>
    private static JsonObject Digests(string checkpoint)
    {
        using var reader = CheckpointReader.Open(checkpoint);
        return new(reader.Files.Select(f => KeyValuePair.Create(Path.GetFileName(f.Path), (JsonNode?)WeightsDigest.Of(f))));
    }

    private static JsonObject Describe(TrainConfig config, RewrittenGraph rewritten, TrainingInterface @interface)
    {
        var manifest = new JsonObject
        {
            ["tool"] = Ledger.ToolVersion,
            ["kind"] = Kind,
            ["rows"] = @interface.Rows,
            ["sequence"] = @interface.Sequence,
            ["scheme"] = config.Scheme,
            ["format"] = config.Format,
            ["pipeline"] = PipelineParser.ToText([.. rewritten.Run.Passes.Select(p => p.Pass)]),
            ["graphSha256"] = rewritten.InputSha256,
            ["parameters"] = new JsonArray([
                .. @interface.Trained.Select(p => Parameter(p, trained: true)),
                .. @interface.Frozen.Select(p => Parameter(p, trained: false)),
            ]),
            ["ledger"] = JsonNode.Parse(Ledger.Of(rewritten.Model).ToJson()),
        };
        foreach (var (key, value) in LinearReport.Of(rewritten.Model.Graph))
            manifest[key] = value?.DeepClone();
        return manifest;
    }

    private static JsonObject Parameter((string Name, Shape Shape) parameter, bool trained) =>
        new() { ["name"] = parameter.Name, ["shape"] = new JsonArray([.. parameter.Shape.Sizes.Select(s => JsonValue.Create(s))]), ["trained"] = trained };

    /// <summary>SHA-256 of every file but the weights, of which a large model has too much to read.</summary>
    private static JsonObject Hashes(string folder)
    {
        var hashes = new JsonObject();
        var files = Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Where(f => !f.EndsWith(".safetensors", StringComparison.Ordinal));
        foreach (var file in files.Order(StringComparer.Ordinal))
            hashes[Path.GetRelativePath(folder, file).Replace('\\', '/')] = GraphRewriter.Sha256(file);
        return hashes;
    }
}
