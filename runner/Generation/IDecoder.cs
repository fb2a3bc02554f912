namespace Halo.Runner.Generation;

/// <summary>A language model that continues rows of tokens.</summary>
internal interface IDecoder : IDisposable
{
    /// <summary>Tokens that a row may have.</summary>
    int MaxPositions { get; }

    /// <summary>Reads prompts, each of 1 to <paramref name="room"/> ids; lengths may differ.</summary>
    /// <param name="prompts">At least one.</param>
    /// <param name="room">Tokens that a row may come to have, at most <see cref="MaxPositions"/>.</param>
    IDecoding Begin(IReadOnlyList<int[]> prompts, int room);
}

/// <summary>Rows of tokens that a model has read.</summary>
internal interface IDecoding : IDisposable
{
    /// <summary>Logits of the token that follows a row, (V); valid until the next <see cref="Append"/>.</summary>
    ReadOnlySpan<float> Next(int row);

    /// <summary>The most likely token to follow a row: the first of the largest of its logits.</summary>
    /// <exception cref="InvalidOperationException">It is not finite.</exception>
    int Best(int row) => Sampler.Pick(Next(row), SamplingSettings.Greedy, random: 0);

    /// <summary>Reads one more token for each row; a row that is over has none (null), and its logits mean nothing from then on.</summary>
    /// <param name="tokens">One for each row, as many as there are prompts.</param>
    /// <exception cref="ArgumentOutOfRangeException">A row has no room left.</exception>
    void Append(IReadOnlyList<int?> tokens);
}
