using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Starts to copy a tensor from memory of the host to that of the device.</summary>
/// <remarks>
/// X (any shape), as <see cref="OffloadStart"/> and its <see cref="CopyWait"/> gave it -> Y, pending until its own CopyWait. On a GPU the copy runs on the stream
/// of all such copies, beside what follows. The body is the identity.
/// </remarks>
public sealed class FetchStart : HaloOperator
{
    public override string OpType => nameof(FetchStart);

    public override string Schema => $"FetchStart(X: T) -> Y: T; T: {HostCopyExtensions.Types}";

    public override void InferShapes(Node node) => (node.Output.Type, node.Output.Shape) = (node.Inputs[0]!.Type, node.Inputs[0]!.Shape);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X");
        return body.Output("Y", body.Op("y", "Identity", [body.Input(0)]));
    }
}
