using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>A running sum of weighted tensors: what micro-batches add to their gradients by.</summary>
/// <remarks>
/// S (any shape) float32, X (the same shape) float32, float16 or bfloat16, keep, weight () float32 -> Y (the same shape) float32.
/// Y = S keep + X weight, both products and the sum rounded to float32 each, so that body and kernels, CPU and GPU, give the same bits. Each element is read
/// before it is written: Y may lie where S does.
/// </remarks>
public sealed class WeightedSum : HaloOperator
{
    public override string OpType => nameof(WeightedSum);

    public override string Schema => "WeightedSum(S: F, X: T, keep: F, weight: F) -> Y: F; F: float; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        var sum = node.Inputs[0]!;
        if (sum.Shape is { } shape)
            ShapeRule.Require("weighted-sum", node, node.Inputs[1]!, "X", shape, "Give what is added to each element of S.");
        foreach (var (i, name) in new[] { (2, "keep"), (3, "weight") })
            ShapeRule.Require("weighted-sum", node, node.Inputs[i]!, name, Shape.Scalar, "Give a scalar.");
        (node.Output.Type, node.Output.Shape) = (ElementType.Float, sum.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("S", "X", "keep", "weight");
        return body.Output("Y", body.Op("y", "Add", [body.Op("kept", "Mul", [body.Input(0), body.Input(2)]),
            body.Op("weighted", "Mul", [body.ToFloat("x", body.Input(1), node.Inputs[1]!.Type), body.Input(3)])]));
    }
}

/// <summary>Makes <see cref="CustomOps.WeightedSum"/> nodes.</summary>
public static class WeightedSumExtensions
{
    /// <summary><paramref name="sum"/> times <paramref name="keep"/>, plus <paramref name="x"/> times <paramref name="weight"/>.</summary>
    public static Value WeightedSum(this GraphBuilder build, Value sum, Value x, Value keep, Value weight, string name) =>
        HaloOperators.Call(build, name, nameof(WeightedSum), [sum, x, keep, weight], 1, HaloOperators.OverloadOf("weighted-sum", x)).Output;
}
