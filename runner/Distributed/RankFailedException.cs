namespace Halo.Runner.Distributed;

/// <summary>Another rank failed, or is not there any more, and the reason is said there: this one ends without a word, exit code 1.</summary>
/// <param name="message">The reason all the same.</param>
/// <param name="isAgreed">All ranks have heard of it, and one has it as its own.</param>
internal sealed class RankFailedException(string message, bool isAgreed = true) : InvalidOperationException(message)
{
    public bool IsAgreed => isAgreed;
}
