using Halo.Analysis;
using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The mean negative log-likelihood of labels under rows of logits.</summary>
/// <remarks>
/// logits (N, V), float32, float16 or bfloat16, labels (N) int64 -> loss () float32, logSumExp (N) float32. Attribute: ignoreIndex (-100).
/// logSumExp = log(sum(e^logit)) of every row; loss = the mean of logSumExp - logit[label] over the rows whose label is not ignoreIndex, summed in
/// float64. Where no row counts the loss is NaN, as in PyTorch.
/// A label that is neither ignoreIndex nor in [0, V) is an error of the native kernel; in the function body it is one of ONNX Runtime's GatherElements.
/// </remarks>
public sealed class CrossEntropy : HaloOperator
{
    public override string OpType => nameof(CrossEntropy);

    public override string Schema => "CrossEntropy(logits: T, labels: I) -> loss: float, logSumExp: float; T: float, float16, bfloat16; I: int64";

    public override void InferShapes(Node node)
    {
        var (logits, labels) = (node.Inputs[0]!, node.Inputs[1]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape, node.Outputs[1].Type) = (ElementType.Float, Shape.Scalar, ElementType.Float);
        if (logits.Shape is not { } shape)
            return;
        if (shape.Rank != 2)
            throw new HaloException("cross-entropy", node.ToString(), "logits (N, V)", $"{shape}", "Reshape them to rows.");
        var rows = new Shape([shape[0]]);
        ShapeRule.Require("cross-entropy", node, labels, "labels", rows, "Reshape them to one axis.");
        node.Outputs[1].Shape = rows;
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("logits", "labels") { AttributeDefaults = [Attribute.Of("ignoreIndex", TrainingNames.IgnoredLabel)] };
        var (loss, sums) = Of(body, body.ToFloat("x", body.Input(0), node.Inputs[0]!.Type), body.Input(1));
        return body.Output("loss", loss).Output("logSumExp", sums);
    }

    /// <summary>Loss and logSumExp of float32 logits.</summary>
    internal static (Value Loss, Value Sums) Of(FunctionBody body, Value logits, Value labels)
    {
        var zero = body.Constant("zero", Tensor.Scalar(0L));
        var last = body.Constant("last", Tensor.Int64s(-1));
        var sums = body.Op("sums", "ReduceLogSumExp", [logits, last], Attribute.Of("keepdims", 0L));
        var counted = Counted(body, labels);
        // GatherElements would count a negative label from the end; as the largest integer it is refused.
        var outside = body.Constant("outside", Tensor.Scalar(long.MaxValue));
        var positive = body.Op("positive", "Where", [body.Op("negative", "Less", [labels, zero]), outside, labels]);
        var index = body.Op("column", "Unsqueeze", [body.Op("index", "Where", [counted, positive, zero]), last]);
        var chosen = body.Op("chosen", "Squeeze", [body.Op("gathered", "GatherElements", [logits, index], Attribute.Of("axis", 1L)), last]);
        var losses = body.Op("losses", "Where", [counted, body.Op("nll", "Sub", [sums, chosen]), body.Constant("none", Tensor.Scalar(0f))]);
        var total = body.Op("total", "ReduceSum", [body.Cast("wide", losses, ElementType.Double)], Attribute.Of("keepdims", 0L));
        var mean = body.Op("mean", "Div", [total, Count(body, counted, ElementType.Double)]);
        return (body.Cast("float", mean, ElementType.Float), sums);
    }

    /// <summary>Which rows count.</summary>
    internal static Value Counted(FunctionBody body, Value labels)
    {
        var ignored = body.Op("ignoreIndex", "Constant", [], Attribute.Reference("value_int", AttributeKind.Int, "ignoreIndex"));
        return body.Op("counted", "Not", [body.Op("ignored", "Equal", [labels, ignored])]);
    }

    /// <summary>How many rows count.</summary>
    internal static Value Count(FunctionBody body, Value counted, ElementType type) =>
        body.Op("count", "ReduceSum", [body.Cast("ones", counted, type)], Attribute.Of("keepdims", 0L));
}

/// <summary>Makes <see cref="CustomOps.CrossEntropy"/> nodes.</summary>
public static class CrossEntropyExtensions
{
    /// <summary>The mean loss; the second result is what <see cref="CrossEntropyGrad"/> wants.</summary>
    public static (Value Loss, Value LogSumExp) CrossEntropy(
        this GraphBuilder build, Value logits, Value labels, string name, long ignoreIndex = TrainingNames.IgnoredLabel)
    {
        var node = HaloOperators.Call(build, name, nameof(CrossEntropy), [logits, labels], 2, HaloOperators.OverloadOf("cross-entropy", logits),
            Attribute.Of("ignoreIndex", ignoreIndex));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
