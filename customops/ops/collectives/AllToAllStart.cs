using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Starts to exchange rows: each rank gets, of every rank, the rows that are its own.</summary>
/// <remarks>
/// X (sum of rows, ...) of any type -> Y (ranks rows[rank], ...), pending: this rank's rows of rank 0's X, then those of rank 1's X, and so on. Attributes
/// as <see cref="CollectiveOperator"/> has them. X is read until the wait is over.
/// </remarks>
public sealed class AllToAllStart : CollectiveOperator
{
    public override string OpType => nameof(AllToAllStart);

    public override string Schema => $"AllToAllStart(X: T) -> Y: T; T: {AnyType}";

    public override void InferShapes(Node node)
    {
        RequirePlace(node);
        (node.Output.Type, node.Output.Shape) =
            (node.Inputs[0]!.Type, WithRows(node, RowsOf(node).Sum(), RowsOf(node)[RankOf(node)] * RowsOf(node).Count));
    }
}
