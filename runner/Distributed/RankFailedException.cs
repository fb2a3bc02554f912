namespace Halo.Runner.Distributed;

/// <summary>Another rank failed, or is not there any more: exit code 1.</summary>
public sealed class RankFailedException(string message) : InvalidOperationException(message);
