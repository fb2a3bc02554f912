using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Root-mean-square normalization along the last axis.</summary>
/// <remarks>
/// X (..., C), weight (C), float32, float16 or bfloat16 -> Y (..., C) of that type, invRms (...) float32, absmax? () float32. Attributes: epsilon
/// (1e-5); absmax, 1 where that is wanted.
/// invRms = 1 / sqrt(mean(x^2) + epsilon), y = x * invRms * weight, computed in float32; absmax = max |y|. [Zhang and Sennrich 2019]
/// The native kernel takes the mean in float64; the body squares in float32, where |x| above 1.8e19 has no finite square and its row becomes 0.
/// </remarks>
public sealed class RmsNorm : HaloOperator
{
    public override string OpType => nameof(RmsNorm);

    public override string Schema => "RmsNorm(X: T, weight: T) -> Y: T, invRms: float, absmax?: float; T: float, float16, bfloat16";

    public override RecomputeKind? Recompute => RecomputeKind.Norm;

    public override IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x) => !x.Sizes[0]![^1].IsFree ? FreeOperands.LikeFirst(x) : null;

    public override int Maxima => 1;

    public override void InferShapes(Node node)
    {
        var (x, weight) = (node.Inputs[0]!, node.Inputs[1]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape, node.Outputs[1].Type) = (x.Type, x.Shape, ElementType.Float);
        if (HaloOperators.GivesAbsoluteMax(node))
            (node.Outputs[2].Type, node.Outputs[2].Shape) = (ElementType.Float, Shape.Scalar);
        if (x.Shape is not { } shape)
            return;
        if (shape.Rank == 0)
            throw new HaloException("rms-norm", node.ToString(), "X (..., C)", $"{shape}", "Reshape it to rows.");
        ShapeRule.Require("rms-norm", node, weight, "weight", new Shape([shape[^1]]), "Give a weight for each column.");
        node.Outputs[1].Shape = new Shape(shape.SkipLast(1));
    }

    public override FunctionBody Body(Node node)
    {
        var hasMax = HaloOperators.GivesAbsoluteMax(node);
        var body = new FunctionBody("X", "weight")
        {
            AttributeDefaults = [Attribute.Of("epsilon", 1e-5f), .. hasMax ? (Attribute[])[Attribute.Of("absmax", 1L)] : []],
        };
        var type = node.Inputs[0]!.Type;
        var x = body.ToFloat("x", body.Input(0), type);
        var last = body.Constant("last", Tensor.Int64s(-1));
        var mean = body.Op("mean", "ReduceMean", [body.Op("squares", "Mul", [x, x]), last]);
        var epsilon = body.Op("epsilon", "Constant", [], Attribute.Reference("value_float", AttributeKind.Float, "epsilon"));
        var rms = body.Op("rms", "Sqrt", [body.Op("positive", "Add", [mean, epsilon])]);
        var inverse = body.Op("inverse", "Reciprocal", [rms]);
        var y = body.Op("y", "Mul", [body.Op("n", "Mul", [x, inverse]), body.ToFloat("w", body.Input(1), type)]);
        y = body.FromFloat("rounded", y, type);
        body.Output("Y", y).Output("invRms", body.Op("rows", "Squeeze", [inverse, last]));
        return hasMax ? body.Output("absmax", body.AbsoluteMax("largest", y, type)) : body;
    }
}

/// <summary>Makes <see cref="CustomOps.RmsNorm"/> nodes.</summary>
public static class RmsNormExtensions
{
    /// <summary>Normalizes the rows of <paramref name="x"/>; the second result is what <see cref="RmsNormGrad"/> wants.</summary>
    public static (Value Y, Value InvRms) RmsNorm(this GraphBuilder build, Value x, Value weight, float epsilon, string name)
    {
        var node = HaloOperators.Call(build, name, nameof(RmsNorm), [x, weight], 2, HaloOperators.OverloadOf("rms-norm", x),
            Attribute.Of("epsilon", epsilon));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
