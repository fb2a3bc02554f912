using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>What the matrix products of a graph multiply and add, attention's among them: the operations by which models are measured.</summary>
/// <remarks>
/// A product of (M, K) and (K, N) is 2 M N K operations. Of attention the keys that a causal query may see are counted, and in its gradient four products; what
/// is computed once more, to save memory, is not counted. [Chowdhery et al. 2022, PaLM, appendix B]
/// </remarks>
internal static class ProductOperations
{
    /// <summary>Those of one run of the graph; null where sizes are not known.</summary>
    public static double? Of(Graph graph)
    {
        var (sum, repeated) = (0.0, new RepeatedValues(graph));
        foreach (var node in graph.Nodes.Where(node => node.Outputs.Count > 0 && repeated.Of(node.Outputs[0]) == node.Outputs[0]))
        {
            var operations = node.Facts.Role is OperatorRole.Product product ? Of(node, product) : node.Facts.Operations is { } count ? count(node) : 0;
            if (operations is null)
                return null;
            sum += operations.Value;
        }
        return sum;
    }

    private static double? Of(Node node, OperatorRole.Product product)
    {
        if (node.Inputs[product.A]!.Shape is not { Rank: > 0 } a || node.Outputs[0].Shape?.ElementCount is not { } elements)
            return null;
        return a[a.Rank > 1 && node.Int("transA", 0) != 0 ? a.Rank - 2 : a.Rank - 1].Size is { } contracted ? 2.0 * elements * contracted : null;
    }
}
