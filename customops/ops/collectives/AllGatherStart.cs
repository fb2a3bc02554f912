using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Starts to collect the rows of all ranks, each of which has some.</summary>
/// <remarks>
/// X (rows[rank], ...) of any type -> Y (sum of rows, ...), pending: the rows of rank 0, then those of rank 1, and so on. Attributes as
/// <see cref="CollectiveOperator"/> has them. X is not read once the node has run.
/// </remarks>
public sealed class AllGatherStart : CollectiveOperator
{
    public override string OpType => nameof(AllGatherStart);

    public override string Schema => $"AllGatherStart(X: T) -> Y: T; T: {AnyType}";

    public override void InferShapes(Node node)
    {
        RequirePlace(node);
        (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, WithRows(node, RowsOf(node)[RankOf(node)], RowsOf(node).Sum()));
    }
}
