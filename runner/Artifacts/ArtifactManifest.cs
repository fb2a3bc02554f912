using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Plans;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Artifacts;

/// <summary>What manifest.json says of an artifact: interface, options, optimizer, ledger, linear layers, hashes.</summary>
internal static class ArtifactManifest
{
    /// <summary>Digests of the files of weights (<see cref="WeightsDigest"/>).</summary>
    public const string WeightsKey = "weights";

    /// <summary>The digest of an adapter's weights; only where one is trained.</summary>
    public const string AdapterKey = "adapter";

    /// <summary>What shares a row of the graphs; only where something does.</summary>
    public const string PackingKey = "packing";

    /// <summary>What fit: auto has put on the host, which graphs do not say; only where it chose something.</summary>
    private const string FittedKey = "fitted";

    private const string FilesKey = "files";

    private const string OptimizerKey = "optimizer";

    /// <summary>What every artifact's manifest has; the optimizer's settings are not in those of Halo 0.1.</summary>
    private static readonly string[] Keys =
        ["tool", "kind", "rows", "sequence", "scheme", "format", "pipeline", "graphSha256", "parameters", "ledger", "linears", "skipped", FilesKey, WeightsKey];

    /// <param name="plan">A plan that was made.</param>
    /// <param name="folder">The artifact's files, all but the manifest.</param>
    /// <param name="checkpoint">The folder of weights among them.</param>
    public static JsonObject Of(TrainingPlan plan, string folder, string checkpoint)
    {
        var (rewritten, @interface) = (plan.Rewritten!, plan.Interface);
        var manifest = new JsonObject
        {
            ["tool"] = Ledger.ToolVersion,
            ["kind"] = TrainingArtifact.Kind,
            ["rows"] = @interface.Rows,
            ["sequence"] = @interface.Sequence,
            ["scheme"] = plan.Config.Scheme,
            ["format"] = plan.Config.Format,
            ["pipeline"] = PipelineParser.ToText([.. rewritten.Run.Passes.Select(p => p.Pass)]),
            ["graphSha256"] = rewritten.InputSha256,
            [OptimizerKey] = OptimizerSettings.ToJson(plan.Optimizer),
            ["parameters"] = new JsonArray([
                .. @interface.Trained.Select(p => Parameter(p, trained: true)),
                .. @interface.Frozen.Select(p => Parameter(p, trained: false)),
            ]),
            ["ledger"] = JsonNode.Parse(Ledger.Of(plan.Training).ToJson()),
        };
        foreach (var (key, value) in LinearReport.Of(plan.Training.Graph))
            manifest[key] = value?.DeepClone();
        manifest[FilesKey] = Hashes(folder);
        manifest[WeightsKey] = Digests(checkpoint);
        if (plan.Config.Packing != RowPacking.None)
            manifest[PackingKey] = ConfigKey.NameOf(plan.Config.Packing.ToString());
        if (plan.Config is { Fit: MemoryFit.Auto } fitted && (fitted.OffloadResiduals || fitted.Offload != Offload.None))
        {
            manifest[FittedKey] = new JsonObject
            {
                ["offload"] = ConfigKey.NameOf(fitted.Offload.ToString()),
                ["offload_residuals"] = fitted.OffloadResiduals,
            };
        }
        if (plan.Adapter is not null)
            manifest[AdapterKey] = DigestOfAdapter(Path.Combine(folder, "adapter"));
        return manifest;
    }

    /// <summary>A config with what fit: auto chose when the artifact was made.</summary>
    public static TrainConfig WithFitted(TrainConfig config, JsonObject manifest) => config.Fit != MemoryFit.Auto || manifest[FittedKey] is not JsonObject fitted ? config
        : config with
        {
            Offload = Enum.GetValues<Offload>().Single(o => ConfigKey.NameOf(o.ToString()) == fitted["offload"]!.ToString()),
            OffloadResiduals = fitted["offload_residuals"]!.GetValue<bool>(),
        };

    /// <summary>Holds an artifact to its manifest: every key is there, and every file that it lists is as it was written.</summary>
    /// <exception cref="HaloException">A key is missing, or a file is missing, changed or damaged.</exception>
    public static void Check(JsonObject manifest, string path)
    {
        if (Keys.FirstOrDefault(key => manifest[key] is null) is { } missing)
            throw new HaloException("artifact", path, $"the key '{missing}'", "none", "Prepare the artifact again; a run's own is beyond repair without it.");
        var folder = Path.GetDirectoryName(path)!;
        if (manifest[FilesKey] is not JsonObject files)
            throw new HaloException("artifact", path, "an object of files and their SHA-256 under 'files'", "another value", "Prepare the artifact again.");
        if (Listed(folder).FirstOrDefault(name => !files.ContainsKey(name)) is { } unlisted)
        {
            throw new HaloException("artifact", Path.Combine(folder, unlisted), "the files that the artifact was prepared with (files in manifest.json)",
                "one besides, or one whose digest is lost", "Remove the file if it was put there since; else prepare the artifact again.");
        }
        foreach (var (name, hash) in files)
        {
            var file = Path.Combine(folder, name);
            if (!File.Exists(file))
                throw new HaloException("artifact", folder, name, "no such file", "Prepare the artifact again.");
            if (GraphRewriter.Sha256(file) != hash?.ToString())
            {
                throw new HaloException("artifact", file, "the content that the artifact was prepared with (files in manifest.json)", "other content",
                    "Restore the file, or prepare the artifact again; settings of a run are given when it begins.");
            }
        }
    }

    /// <summary>The settings of the optimizer graph; null where the artifact is of Halo 0.1, which did not write them.</summary>
    public static AdamWSettings? OptimizerOf(JsonObject manifest) => manifest[OptimizerKey] is { } settings ? OptimizerSettings.Parse(settings) : null;

    public static string DigestOfAdapter(string folder)
    {
        using var file = SafetensorsFile.Open(Path.Combine(folder, AdapterFolder.WeightsName));
        return WeightsDigest.Of(file);
    }

    /// <summary>By file.</summary>
    public static JsonObject Digests(string checkpoint)
    {
        using var reader = CheckpointReader.Open(checkpoint);
        return new(reader.Files.Select(f => KeyValuePair.Create(Path.GetFileName(f.Path), (JsonNode?)WeightsDigest.Of(f))));
    }

    private static JsonObject Parameter((string Name, Shape Shape) parameter, bool trained) =>
        new() { ["name"] = parameter.Name, ["shape"] = new JsonArray([.. parameter.Shape.Sizes.Select(s => JsonValue.Create(s))]), ["trained"] = trained };

    /// <summary>SHA-256 of every file but the weights, of which a large model has too much to read.</summary>
    private static JsonObject Hashes(string folder)
    {
        var hashes = new JsonObject();
        foreach (var name in Listed(folder))
            hashes[name] = GraphRewriter.Sha256(Path.Combine(folder, name));
        return hashes;
    }

    /// <summary>The files that have a SHA-256: all but weights, the manifest itself, the folder's marker, which comes after it, and hidden ones.</summary>
    private static IEnumerable<string> Listed(string folder) => Directory.GetFiles(folder, "*", SearchOption.AllDirectories)
        .Select(file => Path.GetRelativePath(folder, file).Replace('\\', '/'))
        .Where(name => !name.EndsWith(".safetensors", StringComparison.Ordinal) && name is not (TrainingArtifact.ManifestName or OwnedFolder.MarkerName)
            && !name.Split('/').Any(part => part.StartsWith('.')))
        .Order(StringComparer.Ordinal);
}
