
namespace Halo.Runner.Data;

/// <summary>What settings say of how rows are read.</summary>
/// <param name="Format">The form of the rows.</param>
/// <param name="Learn">The tokens of a conversation that are learned.</param>
internal sealed record RowSettings(DataFormat Format = DataFormat.Auto, LearnedTokens Learn = LearnedTokens.Answers)
{
    /// <summary>The cache's folder in that of a run.</summary>
    public const string CacheName = "data-cache";

    /// <summary>Data files of more are kept as tokens in a file and not in memory.</summary>
    public long HeldBytes { get; init; } = 32L << 20;

    /// <summary>Where tokens of large data are kept; null: nowhere beyond the process.</summary>
    public string? CacheFolder { get; init; }

    /// <summary>Whether small data are kept as well.</summary>
    public bool KeepsAll { get; init; }
}
