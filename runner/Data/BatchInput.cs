namespace Halo.Runner.Data;

/// <summary>What an input of a graph says of each token of a batch.</summary>
internal enum BatchRole
{
    /// <summary>The token's id.</summary>
    TokenIds,

    /// <summary>1 on tokens, 0 behind a row's end.</summary>
    Mask,

    /// <summary>The id where the token is learned. Not shifted: the graph compares logits at t with labels at t + 1.</summary>
    Labels,

    /// <summary>The token's place in its document.</summary>
    Positions,

    /// <summary>The document that the token belongs to.</summary>
    Documents,
}

/// <summary>An input of a graph that each batch fills, (B, T) int64.</summary>
/// <param name="Name">The input's name in the graph.</param>
/// <param name="Role">What it says of each token.</param>
internal sealed record BatchInput(string Name, BatchRole Role);

/// <summary>The form of a micro-batch: what one run of a graph takes.</summary>
/// <param name="Rows">B.</param>
/// <param name="Sequence">T, in tokens.</param>
/// <param name="PadId">The id behind a row's end.</param>
/// <param name="Inputs">What the graph takes.</param>
/// <param name="Packs">A row of the graph holds as many rows of data as fit, each a document of its own; else one.</param>
internal sealed record BatchLayout(int Rows, int Sequence, int PadId, IReadOnlyList<BatchInput> Inputs, bool Packs = false);
