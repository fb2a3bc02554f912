using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Training.Reports;

/// <summary>What a report shows. Texts are plain: the page escapes them.</summary>
internal sealed record ReportData
{
    public required string Title { get; init; }

    /// <summary>One line under the title: model, scheme, format, device.</summary>
    public string Subtitle { get; init; } = "";

    /// <summary>Every row of the run. The first and last evaluation are "before" and "after".</summary>
    public required IReadOnlyList<MetricsRow> Rows { get; init; }

    /// <summary>The resolved config.</summary>
    public required string ConfigYaml { get; init; }

    /// <summary>Further lines of the summary: parameters, ONNX Runtime's version, rows left out.</summary>
    public IReadOnlyList<ReportFact> Facts { get; init; } = [];

    /// <summary>Null where no graph was rewritten.</summary>
    public RewriteSummary? Rewrite { get; init; }
}

internal sealed record ReportFact(string Name, string Value);

/// <summary>What the passes did to the graph.</summary>
/// <param name="Linears">Linear layers found.</param>
/// <param name="Frozen">Those of them without a gradient.</param>
/// <param name="Gemms">Products by role, rotation and format.</param>
/// <param name="Passes">In the order they ran.</param>
/// <param name="Skipped">Nodes that were left as they were.</param>
internal sealed record RewriteSummary(
    int Linears, int Frozen, IReadOnlyList<GemmCount> Gemms, IReadOnlyList<PassSummary> Passes, IReadOnlyList<SkippedNode> Skipped);

/// <summary>How many products of one role (F, E or G) got the same rotations and formats.</summary>
internal sealed record GemmCount(string Role, string Rotations, string Formats, int Count);

/// <param name="Name">The pass, kebab-case.</param>
/// <param name="Options">As in the pipeline's text; may be empty.</param>
/// <param name="Rewrites">Rewrites made.</param>
/// <param name="Effect">exact, reassociating or quantizing.</param>
/// <param name="Measured">The difference that verification measured; empty where none was asked for.</param>
internal sealed record PassSummary(string Name, string Options, int Rewrites, string Effect, string Measured = "");

internal sealed record SkippedNode(string Node, string Reason);
