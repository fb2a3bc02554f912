using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Starts to sum a tensor over the ranks, each of which gets some rows of the sum.</summary>
/// <remarks>
/// X (sum of rows, ...) -> Y (rows[rank], ...), pending. Attributes as <see cref="CollectiveOperator"/> has them. Rows are sent as they are and summed by the
/// rank that gets them, in float32 and in the order of ranks, then rounded to T: the same bits each time, and whatever carries them. X is read until the
/// wait is over.
/// </remarks>
public sealed class ReduceScatterStart : CollectiveOperator
{
    public override string OpType => nameof(ReduceScatterStart);

    public override string Schema => "ReduceScatterStart(X: T) -> Y: T; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        RequirePlace(node);
        (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, WithRows(node, RowsOf(node).Sum(), RowsOf(node)[RankOf(node)]));
    }
}
