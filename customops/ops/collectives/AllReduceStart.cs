using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Starts to combine a tensor over the ranks.</summary>
/// <remarks>
/// X (any shape) -> Y (the same shape), pending: on every rank the sum of all, or the largest. Attributes: op, sum or max; ranks, how many there are; group and
/// rank as <see cref="CollectiveOperator"/> has them. Each rank combines a part, in float32 (integers as they are) and in the order of ranks, and sends it to
/// the others: the same bits on every rank and each time. The largest of numbers of which one is NaN is NaN. X is read until the wait is over.
/// </remarks>
public sealed class AllReduceStart : CollectiveOperator
{
    public override string OpType => nameof(AllReduceStart);

    public override string Schema => "AllReduceStart(X: T) -> Y: T; T: float, float16, bfloat16, int32, int64";

    public override void InferShapes(Node node)
    {
        RequirePlace(node);
        if (node.String("op", "sum") is not ("sum" or "max"))
            throw new HaloException(OpType, node.ToString(), "op sum or max", node.String("op", ""), "Give one of them.");
        (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);
    }
}
