namespace Halo.Runner.Sessions;

/// <summary>Which of the processes that share a run this one is.</summary>
/// <param name="Index">From 0.</param>
/// <param name="Count">How many there are.</param>
internal sealed record Rank(int Index, int Count)
{
    /// <summary>The only one.</summary>
    public static Rank Only { get; } = new(0, 1);

    public override string ToString() => $"rank {Index}";
}
