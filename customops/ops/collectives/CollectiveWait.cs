using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Waits for what a collective gives.</summary>
/// <remarks>
/// Y, pending or not, after...? of any types and number -> the same tensor, which may be read. Y lies where it did. Nothing else may read what a collective
/// gives. The tensors after it are there, or started where they are pending, before the wait begins, and stay until it is over; they are not read: a graph
/// says with them that a collective is to start before something else is computed, and keeps what a collective reads. The body, which is for groups of one
/// rank, is the identity.
/// </remarks>
public sealed class CollectiveWait : HaloOperator
{
    public override string OpType => nameof(CollectiveWait);

    public override string Schema => "CollectiveWait(Y: T, after...?: A) -> Z: T;"
        + " T: float, float16, bfloat16, int8, uint8, int32, int64, float8e4m3fn, float8e5m2; A: float, float16, bfloat16, int8, uint8, int32, int64,"
        + " float8e4m3fn, float8e5m2";

    public override OperatorRole Role => new OperatorRole.Collective();

    public override void InferShapes(Node node) => (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody([.. Enumerable.Range(0, node.Inputs.Count).Select(i => i == 0 ? "Y" : $"after{i}")]);
        return body.Output("Z", body.Op("z", "Identity", [body.Input(0)]));
    }
}
