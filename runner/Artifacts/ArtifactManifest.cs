using System.Text.Json.Nodes;
using Halo.Ir;
using Halo.Models.Optimizer;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Plans;
using Halo.Runner.Sources;

namespace Halo.Runner.Artifacts;

/// <summary>What manifest.json says of an artifact: interface, options, optimizer, ledger, linear layers, hashes.</summary>
internal static class ArtifactManifest
{
    /// <summary>Digests of the files of weights (<see cref="WeightsDigest"/>).</summary>
    public const string WeightsKey = "weights";

    private const string OptimizerKey = "optimizer";

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
        manifest["files"] = Hashes(folder);
        manifest[WeightsKey] = Digests(checkpoint);
        return manifest;
    }

    /// <summary>The settings of the optimizer graph; null where the artifact is of Halo 0.1, which did not write them.</summary>
    public static AdamWSettings? OptimizerOf(JsonObject manifest) => manifest[OptimizerKey] is { } settings ? OptimizerSettings.Parse(settings) : null;

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
        var files = Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Where(f => !f.EndsWith(".safetensors", StringComparison.Ordinal));
        foreach (var file in files.Order(StringComparer.Ordinal))
            hashes[Path.GetRelativePath(folder, file).Replace('\\', '/')] = GraphRewriter.Sha256(file);
        return hashes;
    }
}
