using Halo.Analysis;
using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of <see cref="CrossEntropy"/>.</summary>
/// <remarks>
/// dLoss () float32, logits (N, V), float32, float16 or bfloat16, labels (N) int64, logSumExp (N) float32 -> dLogits (N, V) of the type of logits.
/// Attribute: ignoreIndex (-100). dLogits = (e^(logit - logSumExp) - onehot(label)) * dLoss / (rows that count), computed in float32; 0 in rows whose
/// label is ignoreIndex, whatever their logits.
/// A label that is neither ignoreIndex nor in [0, V) is an error of the native kernel; in the function body its row has no one in onehot.
/// </remarks>
public sealed class CrossEntropyGrad : HaloOperator
{
    public override string OpType => nameof(CrossEntropyGrad);

    public override string Schema =>
        "CrossEntropyGrad(dLoss: float, logits: T, labels: I, logSumExp: float) -> dLogits: T; T: float, float16, bfloat16; I: int64";

    public override void InferShapes(Node node)
    {
        var (dLoss, logits, labels, sums) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!, node.Inputs[3]!);
        (node.Output.Type, node.Output.Shape) = (logits.Type, logits.Shape);
        ShapeRule.Require("cross-entropy-grad", node, dLoss, "dLoss", Shape.Scalar, "Give the gradient of CrossEntropy's loss.");
        if (logits.Shape is not { } shape)
            return;
        if (shape.Rank != 2)
            throw new HaloException("cross-entropy-grad", node.ToString(), "logits (N, V)", $"{shape}", "Reshape them to rows.");
        ShapeRule.Require("cross-entropy-grad", node, labels, "labels", new Shape([shape[0]]), "Reshape them to one axis.");
        ShapeRule.Require("cross-entropy-grad", node, sums, "logSumExp", new Shape([shape[0]]), "Give the second output of CrossEntropy.");
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("dLoss", "logits", "labels", "logSumExp")
        {
            AttributeDefaults = [Attribute.Of("ignoreIndex", TrainingNames.IgnoredLabel)],
        };
        var type = node.Inputs[1]!.Type;
        var dLogits = Of(body, body.Input(0), body.ToFloat("x", body.Input(1), type), body.Input(2), body.Input(3));
        return body.Output("dLogits", body.FromFloat("rounded", dLogits, type));
    }

    /// <summary>dLogits of float32 logits.</summary>
    internal static Value Of(FunctionBody body, Value dLoss, Value logits, Value labels, Value logSumExp)
    {
        var last = body.Constant("last", Tensor.Int64s(-1));
        var p = body.Op("p", "Exp", [body.Op("logP", "Sub", [logits, body.Op("sums", "Unsqueeze", [logSumExp, last])])]);
        var size = body.Op("size", "Squeeze", [body.Op("sizes", "Shape", [logits], Attribute.Of("start", 1L))]);
        var classes = body.Op("classes", "Range", [body.Constant("from", Tensor.Scalar(0L)), size, body.Constant("step", Tensor.Scalar(1L))]);
        var oneHot = body.Cast("oneHot", body.Op("isLabel", "Equal", [body.Op("column", "Unsqueeze", [labels, last]), classes]), ElementType.Float);
        var counted = CustomOps.CrossEntropy.Counted(body, labels);
        var scale = body.Op("scale", "Div", [dLoss, CustomOps.CrossEntropy.Count(body, counted, ElementType.Float)]);
        var scaled = body.Op("scaled", "Mul", [body.Op("difference", "Sub", [p, oneHot]), scale]);
        // Not a product with 0: an ignored row may hold what is not finite.
        return body.Op("dx", "Where", [body.Op("rows", "Unsqueeze", [counted, last]), scaled, body.Constant("none", Tensor.Scalar(0f))]);
    }
}

/// <summary>Makes <see cref="CustomOps.CrossEntropyGrad"/> nodes.</summary>
public static class CrossEntropyGradExtensions
{
    /// <summary>The gradient of the logits that <see cref="CrossEntropy"/> read, from that of its loss.</summary>
    public static Value CrossEntropyGrad(
        this GraphBuilder build, Value dLoss, Value logits, Value labels, Value logSumExp, string name,
        long ignoreIndex = TrainingNames.IgnoredLabel) =>
        HaloOperators.Call(build, name, nameof(CrossEntropyGrad), [dLoss, logits, labels, logSumExp], 1,
            HaloOperators.OverloadOf("cross-entropy-grad", logits), Attribute.Of("ignoreIndex", ignoreIndex)).Output;
}
