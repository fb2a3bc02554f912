using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>One kind of subgraph that <see cref="Canonicalize"/> knows, in all the forms that exporters give it.</summary>
/// <remarks>
/// A pattern is found by structure and by value, never by name. It replaces nothing of which an inner value is read elsewhere or is a graph
/// output: following a value to its only user rules both out.
/// </remarks>
/// <param name="kind">The operator that replaces the subgraph, as reports name it.</param>
internal abstract class CanonicalPattern(string kind)
{
    public string Kind { get; } = kind;

    /// <summary>Whether a node could be the heart of such a subgraph: it will be found, or left with a reason.</summary>
    public abstract bool IsCandidate(Node node);

    /// <summary>Replaces the subgraph around a candidate.</summary>
    /// <returns>Null if that was done, else why not.</returns>
    public abstract string? Rewrite(CanonicalGraph graph, Node candidate);
}
