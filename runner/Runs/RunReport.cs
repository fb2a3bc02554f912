using System.Text.Json.Nodes;
using Halo.Passes.Infra;
using Halo.Runner.Artifacts;
using Halo.Runner.Training;
using Halo.Runner.Training.Metrics;
using Halo.Runner.Training.Reports;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Runs;

/// <summary>Fills report.html from a run's metrics and its artifact's manifest.</summary>
internal static class RunReport
{
    public static void Write(RunFolder run, TrainConfig config, TrainingArtifact artifact, IReadOnlyList<MetricsRow> rows,
        IReadOnlyList<string> traffic) =>
        TrainingReport.Write(run.Report, new ReportData
        {
            Title = Path.GetFileName(run.Path),
            Subtitle = $"{Path.GetFileName(config.Model)}, scheme {config.Scheme}, format {config.Format}, {config.Device.ToString().ToLowerInvariant()}",
            Rows = rows,
            ConfigYaml = config.ToYaml(),
            Facts =
            [
                new ReportFact("Parameters", $"{artifact.Manifest["parameters"]!.AsArray().Sum(Elements):N0}"),
                new ReportFact("Micro-batch", $"{artifact.Manifest["rows"]} rows of {artifact.Manifest["sequence"]} tokens"),
                new ReportFact("Versions", $"{Ledger.ToolVersion}, ONNX Runtime {OrtEnv.Instance().GetVersionString()}"),
                .. traffic.Select(line => new ReportFact("Ranks", line)),
            ],
            Rewrite = Rewrite(artifact.Manifest),
        });

    private static RewriteSummary Rewrite(JsonObject manifest)
    {
        var layers = manifest["linears"]!.AsArray().Select(l => l!.AsObject()).Where(l => !l["head"]!.GetValue<bool>()).ToList();
        var gemms = from layer in layers
                    from role in Enum.GetNames<Analysis.GemmRole>()
                    let count = layer[role]!.AsArray().Count
                    where count > 0
                    group count by (Role: role, Rotation: layer["rotations"]![role]!.ToString(), Format: layer["formats"]![role]!.ToString()) into same
                    select new GemmCount(same.Key.Role, same.Key.Rotation, same.Key.Format, same.Sum());
        var passes = Ledger.Parse(manifest["ledger"]!.ToJsonString()).Rewrites.SelectMany(r => r.Passes)
            .Select(p => new PassSummary(p.Pass, p.Options ?? "", p.Rewrites, p.Effect,
                p.Measured is { } m ? $"{m.WorstOutput}: {m.WorstRelativeError:E1}" : ""));
        var skipped = manifest["skipped"]!.AsArray().Select(s => new Training.Reports.SkippedNode(s!["node"]!.ToString(), s["reason"]!.ToString()));
        return new RewriteSummary(layers.Count, layers.Count(l => l["frozen"]!.GetValue<bool>()), [.. gemms], [.. passes], [.. skipped]);
    }

    private static long Elements(JsonNode? parameter) => parameter!["shape"]!.AsArray().Aggregate(1L, (n, size) => n * size!.GetValue<long>());
}
