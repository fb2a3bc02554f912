namespace Halo.Runner.Export;

/// <summary>One way to run a model over tokens that are given.</summary>
internal interface ILogits
{
    /// <summary>V, logits of a position.</summary>
    int Vocabulary { get; }

    /// <summary>The logits of every position of every row, in the order of the rows, each (tokens, V) row-major.</summary>
    /// <param name="rows">Token ids; rows may differ in length.</param>
    IEnumerable<float[]> Of(IReadOnlyList<int[]> rows);
}
