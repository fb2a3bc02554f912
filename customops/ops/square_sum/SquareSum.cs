using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The sum of all squares, in float32 whatever the type: what a norm over tensors of 16 bits is made of.</summary>
/// <remarks>
/// X (any shape), float32, float16 or bfloat16 -> Y () float32. ReduceSumSquare of ONNX has the result in the type of X, 8 bits of it for bfloat16.
/// The order of additions hangs on the number of elements alone; the kernel of the CPU adds in float64.
/// </remarks>
public sealed class SquareSum : HaloOperator
{
    public override string OpType => nameof(SquareSum);

    public override string Schema => "SquareSum(X: T) -> Y: F; T: float, float16, bfloat16; F: float";

    public override void InferShapes(Node node) => (node.Output.Type, node.Output.Shape) = (ElementType.Float, Shape.Scalar);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X");
        return body.Output("Y", body.Op("y", "ReduceSumSquare", [body.ToFloat("x", body.Input(0), node.Inputs[0]!.Type)], Attribute.Of("keepdims", 0L)));
    }
}

/// <summary>Makes <see cref="CustomOps.SquareSum"/> nodes.</summary>
public static class SquareSumExtensions
{
    /// <summary>The sum of the squares of <paramref name="x"/>, ().</summary>
    public static Value SquareSum(this GraphBuilder build, Value x, string name) =>
        HaloOperators.Call(build, name, nameof(SquareSum), [x], 1, HaloOperators.OverloadOf("square-sum", x)).Output;
}
