using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Starts to copy a tensor to memory of the host that the caller holds.</summary>
/// <remarks>
/// Into (any shape), X (that shape) -> Y, X in the memory of Into, pending: not to be read but through <see cref="CopyWait"/>, which also keeps X until then.
/// What Into held is lost. On a GPU the copy runs on a stream of its own, beside what follows. The body is the identity.
/// </remarks>
public sealed class OffloadStart : HaloOperator
{
    public override string OpType => nameof(OffloadStart);

    public override string Schema => $"OffloadStart(Into: T, X: T) -> Y: T; T: {HostCopyExtensions.Types}";

    public override void InferShapes(Node node)
    {
        var (into, x) = (node.Inputs[0]!, node.Inputs[1]!);
        if (into.Type != x.Type || (into.Shape is { } room && x.Shape is { } shape && (room.Rank != shape.Rank || room.Zip(shape).Any(d => ShapeRule.Differ(d.First, d.Second)))))
        {
            throw new HaloException(OpType, node.ToString(), $"room for X, {x.Type.Name()}{x.Shape}", $"{into.Type.Name()}{into.Shape}",
                "Offload the graph again.");
        }
        (node.Output.Type, node.Output.Shape) = (into.Type, into.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("Into", "X");
        return body.Output("Y", body.Op("y", "Identity", [body.Input(1)]));
    }
}
