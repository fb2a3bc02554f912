using System.Text.Json.Nodes;
using Halo.Io;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;

namespace Halo.Runner.Sources;

/// <summary>The report of a pipeline: what its graph's linear layers are, what the passes recorded, the passes themselves.</summary>
internal static class RewriteReport
{
    /// <summary>Sections of linear layers, then those of passes: records of one section follow each other.</summary>
    /// <param name="model">The graph that came of it.</param>
    /// <param name="run">What the pipeline did.</param>
    /// <param name="inputSha256">Of the file that was read.</param>
    public static JsonObject Of(Model model, PassRun run, string inputSha256)
    {
        var report = LinearReport.Of(model.Graph);
        report["passes"] = LedgerRewrite.Of(run, inputSha256).PassesToJson();
        foreach (var (section, records) in run.Passes.SelectMany(p => p.Reported))
        {
            if (report[section] is not JsonArray rows)
                report[section] = rows = [];
            foreach (var record in records)
                rows.Add(record?.DeepClone());
        }
        report["inputSha256"] = inputSha256;
        return report;
    }

    /// <summary>Writes it as a file.</summary>
    public static void Write(string path, Model model, PassRun run, string inputSha256) =>
        AtomicFile.WriteText(path, Of(model, run, inputSha256).ToJsonString(JsonText.Readable) + "\n");
}
