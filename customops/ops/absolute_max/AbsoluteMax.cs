using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The largest magnitude of all elements, in float32, in one pass: what ranks compare before they quantize their rows of one tensor.</summary>
/// <remarks>
/// X (any shape, an element or more), float32, float16 or bfloat16 -> Y () float32: max |x|, or NaN where an element is one. ReduceMax of ONNX Runtime passes
/// over a NaN in most places. <see cref="FunctionBody.AbsoluteMax"/>, of which a scale is made, is NaN for an infinity too; here it stays one.
/// </remarks>
public sealed class AbsoluteMax : HaloOperator
{
    public override string OpType => nameof(AbsoluteMax);

    public override string Schema => "AbsoluteMax(X: T) -> Y: F; T: float, float16, bfloat16; F: float";

    public override void InferShapes(Node node) => (node.Output.Type, node.Output.Shape) = (ElementType.Float, Shape.Scalar);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X");
        var x = body.ToFloat("x", body.Input(0), node.Inputs[0]!.Type);
        var max = body.Op("max", "ReduceMax", [body.Op("magnitudes", "Abs", [x])], Attribute.Of("keepdims", 0L));
        var isNaN = body.Op("isNaN", "IsNaN", [x]);
        var nan = body.Op("onlyNaN", "Where", [isNaN, x, body.Constant("zero", Tensor.Scalar(0f))]);
        return body.Output("Y", body.Op("y", "Add", [max, body.Op("nan", "ReduceSum", [nan], Attribute.Of("keepdims", 0L))]));
    }
}

/// <summary>Makes <see cref="CustomOps.AbsoluteMax"/> nodes.</summary>
public static class AbsoluteMaxExtensions
{
    /// <summary>The largest magnitude of <paramref name="x"/>, ().</summary>
    public static Value AbsoluteMax(this GraphBuilder build, Value x, string name) =>
        HaloOperators.Call(build, name, nameof(AbsoluteMax), [x], 1, HaloOperators.OverloadOf("absolute-max", x)).Output;
}
