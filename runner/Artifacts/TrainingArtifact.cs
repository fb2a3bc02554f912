using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.CustomOps;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.HuggingFace;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Sharding;
using Halo.Runner.Distributed;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

namespace Halo.Runner.Artifacts;

/// <summary>A <see cref="TrainingPlan"/> as a folder: its graphs, the starting weights, the tokenizer, and what was done to the graphs.</summary>
/// <remarks>
/// training_model.onnx, eval_model.onnx (loss and logits), optimizer_model.onnx: the names of ONNX Runtime's training artifacts. forward_model.onnx: the
/// graph that was trained before it was rewritten, for export.
/// checkpoint/: a Hugging Face folder in the checkpoint's own type. manifest.json: interface, options, optimizer, hashes, ledger. The same input and
/// options give the same bytes.
/// </remarks>
internal sealed class TrainingArtifact
{
    public const string Kind = "artifact";

    public const string ManifestName = "manifest.json";

    private TrainingArtifact(string folder, JsonObject manifest) => (Folder, Manifest) = (folder, manifest);

    public string Folder { get; }

    public JsonObject Manifest { get; }

    public string TrainingModel => Path.Combine(Folder, "training_model.onnx");

    public string EvalModel => Path.Combine(Folder, "eval_model.onnx");

    /// <summary>The forward graph as it was before the rewrite, in float32: what is exported and generates (<see cref="TrainingPlan.Forward"/>).</summary>
    public string ForwardModel => Path.Combine(Folder, "forward_model.onnx");

    public string OptimizerModel => Path.Combine(Folder, "optimizer_model.onnx");

    public string Checkpoint => Path.Combine(Folder, "checkpoint");

    /// <summary>The adapter that training starts from, where one is trained over frozen weights.</summary>
    public string Adapter => Path.Combine(Folder, "adapter");

    /// <summary>From frozen weights to their codes; not there where nothing is held so.</summary>
    public string BaseModel => Path.Combine(Folder, "base_model.onnx");

    /// <summary>What the graphs read of frozen weights; null where they read the weights.</summary>
    /// <param name="training">The artifact's training graph.</param>
    /// <param name="weights">The artifact's.</param>
    /// <param name="settings">Where and how it is computed.</param>
    /// <param name="rows">Which rows of codes this rank has, where the graph takes some.</param>
    public HeldTensors? Hold(Model training, CheckpointReader weights, SessionSettings settings, ShardPlan? rows = null)
    {
        using var adapter = OpenAdapter(weights);
        var tensors = adapter is null ? weights.Tensors : weights.Tensors.Concat(adapter.Tensors).ToDictionary(StringComparer.Ordinal);
        return HeldTensors.Of(File.Exists(BaseModel) ? Read(BaseModel) : null, training.Graph, Checkpoint, tensors, settings, rows);
    }

    /// <summary>Null where the weights themselves are trained.</summary>
    /// <param name="weights">The artifact's.</param>
    /// <exception cref="HaloException">It is not that of the day the artifact was made.</exception>
    public AdapterFolder? OpenAdapter(CheckpointReader weights)
    {
        if (Manifest[ArtifactManifest.AdapterKey] is not { } kept)
            return null;
        if (!File.Exists(Path.Combine(Adapter, AdapterFolder.WeightsName)) || ArtifactManifest.DigestOfAdapter(Adapter) != kept.ToString())
        {
            throw new HaloException("artifact", Adapter, "the adapter that the artifact was prepared with (adapter in manifest.json)", "another, or none",
                "Prepare the artifact again.");
        }
        return AdapterFolder.Open(Adapter, weights);
    }

    /// <summary>The weights that training starts from.</summary>
    /// <exception cref="HaloException">They are not those of the day the artifact was made: a linked file was written into, or one was damaged.</exception>
    public CheckpointReader OpenWeights()
    {
        var kept = Manifest[ArtifactManifest.WeightsKey]?.ToJsonString();
        if (kept != ArtifactManifest.Digests(Checkpoint).ToJsonString())
        {
            throw new HaloException("artifact", Checkpoint, "the weights that the artifact was prepared with (weights in manifest.json)", "others",
                "Prepare the artifact again; large weights are linked, not copied, and must not be written into.");
        }
        return CheckpointReader.Open(Checkpoint);
    }

    public static bool Is(string path) => OwnedFolder.KindOf(path) == Kind;

    /// <exception cref="HaloException">The folder is no artifact, or lacks a file.</exception>
    public static TrainingArtifact Open(string folder)
    {
        var manifest = Path.Combine(folder, ManifestName);
        if (!File.Exists(manifest))
            throw new HaloException("artifact", folder, "an artifact with a manifest.json", "none", "Make one with halo prepare.");
        FilePlace.RequireRegular(manifest);
        try
        {
            var artifact = new TrainingArtifact(Path.GetFullPath(folder), JsonNode.Parse(File.ReadAllText(manifest)) as JsonObject
                ?? throw new HaloException("artifact", manifest, "a JSON object", "another value", "Prepare the artifact again."));
            foreach (var file in new[] { artifact.TrainingModel, artifact.EvalModel, artifact.OptimizerModel, artifact.ForwardModel,
                Path.Combine(artifact.Checkpoint, "config.json") })
            {
                if (!File.Exists(file))
                    throw new HaloException("artifact", folder, Path.GetFileName(file), "no such file", "Prepare the artifact again.");
            }
            ArtifactManifest.Check(artifact.Manifest, Path.GetFullPath(manifest));
            return artifact;
        }
        catch (JsonException e)
        {
            throw new HaloException("artifact", manifest, "JSON", e.Message.TrimEnd('.'), "Prepare the artifact again.", e);
        }
    }

    /// <summary>Writes a plan as an artifact, whole or not at all.</summary>
    /// <param name="plan">A plan that was made.</param>
    /// <param name="folder">Where to.</param>
    /// <param name="say">Takes lines about what is done.</param>
    /// <exception cref="HaloException">The folder is not Halo's to replace, or the plan's parameters cannot be updated.</exception>
    public static TrainingArtifact Write(TrainingPlan plan, string folder, Action<string> say)
    {
        OwnedFolder.Write(folder, Kind, target =>
        {
            var artifact = new TrainingArtifact(target, []);
            OnnxWriter.Write(plan.Training, artifact.TrainingModel);
            OnnxWriter.Write(plan.Evaluation, artifact.EvalModel);
            OnnxWriter.Write(plan.Forward, artifact.ForwardModel);
            OnnxWriter.Write(plan.OptimizerModel, artifact.OptimizerModel);
            var kept = HuggingFaceFolder.Keep(plan.Companions, plan.Weights, artifact.Checkpoint, "model");
            if (plan.Base is { } frozen)
                OnnxWriter.Write(frozen, artifact.BaseModel);
            if (plan.Adapter is { } adapter)
            {
                using var weights = CheckpointReader.Open(artifact.Checkpoint);
                adapter.Write(artifact.Adapter, weights);
            }
            if (kept.Values.Count(p => p == PlacedAs.Link) is > 0 and var links)
                say($"{plan.Weights}: {links} files of weights are linked, not copied; whoever writes into them changes the artifact, which is then refused");
            AtomicFile.WriteText(Path.Combine(target, ManifestName), ArtifactManifest.Of(plan, target, artifact.Checkpoint).ToJsonString(JsonText.Readable) + "\n");
        });
        return Open(folder);
    }

    /// <summary>The artifact as a plan: its graphs, read, with the data, device and loop of a config. The training graph is parsed.</summary>
    /// <param name="config">Of the run.</param>
    /// <param name="world">The ranks that share it; null: there are none.</param>
    /// <exception cref="HaloException">A file is damaged.</exception>
    public TrainingPlan PlanFor(TrainConfig config, World? world = null)
    {
        var training = Read(TrainingModel);
        var device = world?.DeviceOf(config.Device) ?? new Device(config.Device);
        return new TrainingPlan(training, () => Read(EvalModel), () => Read(ForwardModel), () => Read(OptimizerModel))
        {
            Config = ArtifactManifest.WithFitted(config, Manifest) with { Packing = Manifest[ArtifactManifest.PackingKey] is null ? RowPacking.None : RowPacking.Documents },
            Interface = TrainingInterface.Of(training.Graph, TrainingModel, device.Kind),
            Optimizer = Optimizer,
            Weights = Checkpoint,
            Companions = [Checkpoint],
            Device = device,
            World = world,
        };
    }

    /// <summary>The settings of the optimizer graph; those of an artifact of Halo 0.1 are read off its constants.</summary>
    private AdamWSettings Optimizer
    {
        get
        {
            try
            {
                return ArtifactManifest.OptimizerOf(Manifest) ?? OptimizerSettings.OfGraph(OptimizerModel);
            }
            catch (JsonException e)
            {
                throw new HaloException("artifact", Path.Combine(Folder, ManifestName), "settings of AdamW under 'optimizer'", e.Message.TrimEnd('.'),
                    "Prepare the artifact again.", e);
            }
        }
    }

    /// <summary>The artifact that a config names as its model.</summary>
    /// <exception cref="HaloException">It is none, or the config asks for another rewrite or other weights than those it holds.</exception>
    public static TrainingArtifact OpenFor(TrainConfig config)
    {
        foreach (var key in ConfigKey.OfTrainConfig.Where(key => key.IsUsedBy(ConfigUse.Artifact) && !key.IsDefault(config)))
        {
            throw new HaloException("train", key.Name, $"it left out, for {config.Model} holds its own", "a value",
                "Leave it out, or prepare another artifact.");
        }
        return Open(config.Model);
    }

    private static Model Read(string path) => OnnxReader.Read(path, HaloOperators.Catalogue);
}
