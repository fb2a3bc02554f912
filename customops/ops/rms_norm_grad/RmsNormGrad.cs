using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of <see cref="RmsNorm"/>.</summary>
/// <remarks>
/// dY, X (..., C), weight (C), float32, float16 or bfloat16; invRms (...) float32; addend? (..., C) as X -> dX (..., C), dWeight (C) of the type of
/// X, absmax? () float32. Attribute: absmax, 1 where that is wanted.
/// With g = dY * weight and n = X * invRms: dX = invRms * (g - n * mean(g * n)) + addend, dWeight = the sum over rows of dY * n, computed in float32;
/// absmax = max |dX|.
/// [Zhang and Sennrich 2019]
/// The native kernel sums dWeight in an order that does not hang on the number of threads.
/// </remarks>
public sealed class RmsNormGrad : HaloOperator
{
    public override string OpType => nameof(RmsNormGrad);

    public override string Schema => "RmsNormGrad(dY: T, X: T, weight: T, invRms: float, addend?: T)"
        + " -> dX: T, dWeight: T, absmax?: float; T: float, float16, bfloat16";

    public override int Maxima => 1;

    public override void InferShapes(Node node)
    {
        var (dy, x, weight, invRms) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!, node.Inputs[3]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (x.Type, x.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (weight.Type, weight.Shape);
        if (HaloOperators.GivesAbsoluteMax(node))
            (node.Outputs[2].Type, node.Outputs[2].Shape) = (ElementType.Float, Shape.Scalar);
        if (x.Shape is not { } shape)
            return;
        if (shape.Rank == 0)
            throw new HaloException("rms-norm-grad", node.ToString(), "X (..., C)", $"{shape}", "Reshape it to rows.");
        ShapeRule.Require("rms-norm-grad", node, dy, "dY", shape, "Give the gradient of RmsNorm's Y.");
        if (node.Input(4) is { } addend)
            ShapeRule.Require("rms-norm-grad", node, addend, "addend", shape, "Give what is added to each element of dX.");
        ShapeRule.Require("rms-norm-grad", node, weight, "weight", new Shape([shape[^1]]), "Give a weight for each column.");
        ShapeRule.Require("rms-norm-grad", node, invRms, "invRms", new Shape(shape.SkipLast(1)), "Give the second output of RmsNorm.");
    }

    public override FunctionBody Body(Node node)
    {
        var (adds, hasMax) = (node.Input(4) is not null, HaloOperators.GivesAbsoluteMax(node));
        var body = new FunctionBody(((string[])["dY", "X", "weight", "invRms", "addend"]).AsSpan(0, adds ? 5 : 4))
        {
            AttributeDefaults = hasMax ? [Attribute.Of("absmax", 1L)] : [],
        };
        var type = node.Inputs[1]!.Type;
        var (dy, x, weight) = (body.ToFloat("dy", body.Input(0), type), body.ToFloat("x", body.Input(1), type), body.ToFloat("w", body.Input(2), type));
        var last = body.Constant("last", Tensor.Int64s(-1));
        var inverse = body.Op("inverse", "Unsqueeze", [body.Input(3), last]);
        var n = body.Op("n", "Mul", [x, inverse]);
        var g = body.Op("g", "Mul", [dy, weight]);
        var mean = body.Op("mean", "ReduceMean", [body.Op("gn", "Mul", [g, n]), last]);
        var dx = body.Op("dx", "Mul", [body.Op("centred", "Sub", [g, body.Op("along", "Mul", [n, mean])]), inverse]);
        if (adds)
            dx = body.Op("added", "Add", [dx, body.ToFloat("a", body.Input(4), type)]);
        var rows = body.Op("rows", "Flatten", [body.Op("dyn", "Mul", [dy, n])], Attribute.Of("axis", -1L));
        var dWeight = body.Op("sum", "ReduceSum", [rows, body.Constant("first", Tensor.Int64s(0))], Attribute.Of("keepdims", 0L));
        dx = body.FromFloat("dx.rounded", dx, type);
        body.Output("dX", dx).Output("dWeight", body.FromFloat("sum.rounded", dWeight, type));
        return hasMax ? body.Output("absmax", body.AbsoluteMax("largest", dx, type)) : body;
    }
}

/// <summary>Makes <see cref="CustomOps.RmsNormGrad"/> nodes.</summary>
public static class RmsNormGradExtensions
{
    /// <summary>The gradients of what <see cref="RmsNorm"/> read, from that of its Y, the first with <paramref name="addend"/> unless that is null.</summary>
    public static (Value DX, Value DWeight) RmsNormGrad(
        this GraphBuilder build, Value dy, Value x, Value weight, Value invRms, string name, Value? addend = null)
    {
        var type = HaloOperators.OverloadOf("rms-norm-grad", x);
        var node = addend is null ? HaloOperators.Call(build, name, nameof(RmsNormGrad), [dy, x, weight, invRms], 2, type)
            : HaloOperators.Call(build, name, nameof(RmsNormGrad), [dy, x, weight, invRms, addend], 2, type.Length > 0 ? $"{type}_added" : "added");
        return (node.Outputs[0], node.Outputs[1]);
    }
}
