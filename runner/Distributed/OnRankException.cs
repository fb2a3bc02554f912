namespace Halo.Runner.Distributed;

/// <summary>What failed on this rank, which is the one to say it.</summary>
/// <param name="place">The rank, and what it was at.</param>
/// <param name="inner">As it would be without other ranks.</param>
internal sealed class OnRankException(string place, Exception inner) : Exception($"{place}: {inner.Message}", inner)
{
    public string Place => place;
}
