namespace Halo.Text;

/// <summary>What <see cref="GraphPrinter"/> prints.</summary>
public sealed record PrintOptions
{
    public static PrintOptions Default { get; } = new();

    /// <summary>Larger tensors are printed as a splat if all elements are equal, otherwise as a hash of their content.</summary>
    public int InlineElements { get; init; } = 8;

    /// <summary>False prints larger tensors as their size in bytes, so that no weight is read.</summary>
    public bool ReadWeights { get; init; } = true;

    /// <summary>Prints the metadata of nodes, in which exporters keep scopes and source lines.</summary>
    public bool NodeMetadata { get; init; }

    /// <summary>False leaves out the types that node outputs have, for a text to compare before and after shape inference.</summary>
    public bool OutputTypes { get; init; } = true;
}
