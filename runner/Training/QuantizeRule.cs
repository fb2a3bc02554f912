using System.ComponentModel;

namespace Halo.Training;

/// <summary>The scheme and format of the linear layers whose weight matches; the first rule that matches wins.</summary>
public sealed record QuantizeRule
{
    [Description("Pattern for the name of the weight; * stands for any text.")]
    public required string Match { get; init; }

    [Description("HALO level or text per GEMM; null: the scheme of the run.")]
    public string? Scheme { get; init; }

    [Description("Format name or text per GEMM; null: the format of the run.")]
    public string? Format { get; init; }
}
