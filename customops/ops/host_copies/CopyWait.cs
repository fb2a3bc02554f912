using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Waits for a copy to the host or back.</summary>
/// <remarks>
/// Y, pending or not, after...? of any number -> the same tensor, which may be read. Y lies where it did. The tensors after it are there, or started where they
/// are pending, before the wait begins, and stay until it is over; they are not read. The body is the identity.
/// </remarks>
public sealed class CopyWait : HaloOperator
{
    public override string OpType => nameof(CopyWait);

    public override string Schema => $"CopyWait(Y: T, after...?: A) -> Z: T; T: {HostCopyExtensions.Types}; A: {HostCopyExtensions.Types}";

    public override OperatorRole Role => new OperatorRole.Ordering();

    public override void InferShapes(Node node) => (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody([.. Enumerable.Range(0, node.Inputs.Count).Select(i => i == 0 ? "Y" : $"after{i}")]);
        return body.Output("Z", body.Op("z", "Identity", [body.Input(0)]));
    }
}
