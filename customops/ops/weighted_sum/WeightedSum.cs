using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>A running sum of weighted tensors: what micro-batches add to their gradients by.</summary>
/// <remarks>
/// S (any shape) float32 or bfloat16, X (the same shape) float32, float16 or bfloat16, keep, weight () float32, step?, seed? () int64 -> Y of S's type and shape.
/// Y = S keep + X weight, both products and the sum rounded to float32 each, so that body and kernels, CPU and GPU, give the same bits. Where keep is 0, S is
/// taken as 0, whatever it holds. Each element is read before it is written: Y may lie where S does.
/// A sum of bfloat16 is rounded up or down by chance (<see cref="ChanceRounding"/>), so that its mean is that of a float32 sum: by step, which numbers the
/// additions of a run, seed and the attribute tensor, below 2^29, which numbers its sums; its streams lie 2^29 above those of AdamW. To the nearest, a gradient
/// below 2^-9 of its sum would be lost, and late micro-batches count less than early ones.
/// </remarks>
public sealed class WeightedSum : HaloOperator
{
    /// <summary>Of the tensor's number, behind those that updates draw by.</summary>
    private const long Streams = 1L << 29;

    private static readonly string[] Inputs = ["S", "X", "keep", "weight", "step", "seed"];

    public override string OpType => nameof(WeightedSum);

    public override string Schema =>
        "WeightedSum(S: A, X: T, keep: F, weight: F, step?: I, seed?: I) -> Y: A; A: float, bfloat16; T: float, float16, bfloat16; F: float; I: int64";

    public override void InferShapes(Node node)
    {
        var sum = node.Inputs[0]!;
        if (sum.Shape is { } shape)
            ShapeRule.Require("weighted-sum", node, node.Inputs[1]!, "X", shape, "Give what is added to each element of S.");
        for (var i = 2; i < Inputs.Length; i++)
        {
            if (node.Input(i) is { } scalar)
                ShapeRule.Require("weighted-sum", node, scalar, Inputs[i], Shape.Scalar, "Give a scalar.");
        }
        (node.Output.Type, node.Output.Shape) = (sum.Type, sum.Shape);
    }

    /// <summary>The overload of a sum's and an addend's types.</summary>
    internal static string Overload(Value sum, Value x)
    {
        var added = HaloOperators.OverloadOf("weighted-sum", x);
        return sum.Type == ElementType.Float ? added : $"{sum.Type.Name()}_{x.Type.Name()}";
    }

    public override FunctionBody Body(Node node)
    {
        var type = node.Inputs[0]!.Type;
        var isRounded = type != ElementType.Float;
        var body = new FunctionBody(Inputs.AsSpan(0, node.Inputs.Count)) { AttributeDefaults = isRounded ? [Attribute.Of("tensor", 0L)] : [] };
        var zero = body.Constant("zero", Tensor.Scalar(0f));
        var read = body.Op("read", "Where", [body.Op("isFirst", "Equal", [body.Input(2), zero]), zero, body.ToFloat("s", body.Input(0), type)]);
        var y = body.Op("y", "Add", [body.Op("kept", "Mul", [read, body.Input(2)]),
            body.Op("weighted", "Mul", [body.ToFloat("x", body.Input(1), node.Inputs[1]!.Type), body.Input(3)])]);
        if (isRounded)
        {
            var tensor = body.Op("tensor", "Constant", [], Attribute.Reference("value_int", AttributeKind.Int, "tensor"));
            y = ChanceRounding.Of(body, y, body.Input(4), body.Input(5), body.Op("stream", "Add", [tensor, body.Constant("streams", Tensor.Scalar(Streams))]));
        }
        return body.Output("Y", y);
    }
}

/// <summary>Makes <see cref="CustomOps.WeightedSum"/> nodes.</summary>
public static class WeightedSumExtensions
{
    /// <summary><paramref name="sum"/> times <paramref name="keep"/>, plus <paramref name="x"/> times <paramref name="weight"/>.</summary>
    /// <param name="build">Makes the node.</param>
    /// <param name="sum">Of any shape, float32 or bfloat16.</param>
    /// <param name="x">Of the same shape.</param>
    /// <param name="keep">() float32.</param>
    /// <param name="weight">() float32.</param>
    /// <param name="name">Of the node.</param>
    /// <param name="chance">What a sum of bfloat16 is rounded by: the addition's number in the run, its seed, () int64, and the sum's number; null for float32.</param>
    public static Value WeightedSum(this GraphBuilder build, Value sum, Value x, Value keep, Value weight, string name,
        (Value Step, Value Seed, long Tensor)? chance = null)
    {
        var overload = CustomOps.WeightedSum.Overload(sum, x);
        return chance is var (step, seed, tensor)
            ? HaloOperators.Call(build, name, nameof(WeightedSum), [sum, x, keep, weight, step, seed], 1, overload, Attribute.Of("tensor", tensor)).Output
            : HaloOperators.Call(build, name, nameof(WeightedSum), [sum, x, keep, weight], 1, overload).Output;
    }
}
