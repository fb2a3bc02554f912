using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of <see cref="RmsNorm"/>.</summary>
/// <remarks>
/// dY, X (..., C), weight (C), float32, float16 or bfloat16; invRms (...) float32 -> dX (..., C), dWeight (C) of the type of X.
/// With g = dY * weight and n = X * invRms: dX = invRms * (g - n * mean(g * n)), dWeight = the sum over rows of dY * n, computed in float32.
/// [Zhang and Sennrich 2019]
/// The native kernel sums dWeight in an order that does not hang on the number of threads.
/// </remarks>
public sealed class RmsNormGrad : HaloOperator
{
    public override string OpType => nameof(RmsNormGrad);

    public override string Schema => "RmsNormGrad(dY: T, X: T, weight: T, invRms: float) -> dX: T, dWeight: T; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        var (dy, x, weight, invRms) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!, node.Inputs[3]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (x.Type, x.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (weight.Type, weight.Shape);
        if (x.Shape is not { } shape)
            return;
        if (shape.Rank == 0)
            throw new HaloException("rms-norm-grad", node.ToString(), "X (..., C)", $"{shape}", "Reshape it to rows.");
        ShapeRule.Require("rms-norm-grad", node, dy, "dY", shape, "Give the gradient of RmsNorm's Y.");
        ShapeRule.Require("rms-norm-grad", node, weight, "weight", new Shape([shape[^1]]), "Give a weight for each column.");
        ShapeRule.Require("rms-norm-grad", node, invRms, "invRms", new Shape(shape.SkipLast(1)), "Give the second output of RmsNorm.");
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("dY", "X", "weight", "invRms");
        var type = node.Inputs[1]!.Type;
        var (dy, x, weight) = (body.ToFloat("dy", body.Input(0), type), body.ToFloat("x", body.Input(1), type), body.ToFloat("w", body.Input(2), type));
        var last = body.Constant("last", Tensor.Int64s(-1));
        var inverse = body.Op("inverse", "Unsqueeze", [body.Input(3), last]);
        var n = body.Op("n", "Mul", [x, inverse]);
        var g = body.Op("g", "Mul", [dy, weight]);
        var mean = body.Op("mean", "ReduceMean", [body.Op("gn", "Mul", [g, n]), last]);
        var dx = body.Op("dx", "Mul", [body.Op("centred", "Sub", [g, body.Op("along", "Mul", [n, mean])]), inverse]);
        var rows = body.Op("rows", "Flatten", [body.Op("dyn", "Mul", [dy, n])], Attribute.Of("axis", -1L));
        var dWeight = body.Op("sum", "ReduceSum", [rows, body.Constant("first", Tensor.Int64s(0))], Attribute.Of("keepdims", 0L));
        return body.Output("dX", body.FromFloat("dx.rounded", dx, type)).Output("dWeight", body.FromFloat("sum.rounded", dWeight, type));
    }
}

/// <summary>Makes <see cref="CustomOps.RmsNormGrad"/> nodes.</summary>
public static class RmsNormGradExtensions
{
    /// <summary>The gradients of what <see cref="RmsNorm"/> read, from that of its Y.</summary>
    public static (Value DX, Value DWeight) RmsNormGrad(this GraphBuilder build, Value dy, Value x, Value weight, Value invRms, string name)
    {
        var node = HaloOperators.Call(build, name, nameof(RmsNormGrad), [dy, x, weight, invRms], 2, HaloOperators.OverloadOf("rms-norm-grad", x));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
