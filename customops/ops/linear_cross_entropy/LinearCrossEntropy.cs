using Halo.Analysis;
using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The mean negative log-likelihood of labels under logits X W^T, with the gradients of both factors, logits in chunks of rows.</summary>
/// <remarks>
/// X (N, H), W (V, H), float32, float16 or bfloat16; labels (N) int64; dLoss () float32 -> loss () float32, dX (N, H) of the type of X, dW (V, H), float32 or as
/// X. Attributes: ignoreIndex (-100); rows, of which a chunk has so many; to, the type of dW as ONNX numbers it, 0 where W is frozen and there is no dW. With logits = X W^T, rounded to the type of X:
/// loss as <see cref="CrossEntropy"/> has it, dLogits as <see cref="CrossEntropyGrad"/> has them, dX = dLogits W, dW = dLogits^T X.
/// A chunk's logits become their gradient in place, and all chunks share the memory; each adds its part to dW, rounded to dW's type each time. The function
/// body has one chunk. [Liu et al. 2024, Liger kernel, 3.2; Ilievski and Kucukyilmaz 2025, LLM.Q]
/// A label that is neither ignoreIndex nor in [0, V) is an error of the native kernel; on a GPU loss and gradients become NaN.
/// </remarks>
public sealed class LinearCrossEntropy : HaloOperator
{
    public override string OpType => nameof(LinearCrossEntropy);

    public override string Schema => "LinearCrossEntropy(X: T, W: T, labels: I, dLoss: F) -> loss: F, dX: T, dW?: R;"
        + " T: float, float16, bfloat16; I: int64; F: float; R: float, float16, bfloat16";

    public static string Overload(ElementType type, ElementType to) => to == ElementType.Undefined ? $"{type.Name()}_frozen" : EmbeddingGrad.Overload(type, to);

    /// <summary>Logits, dX and, where there is one, dW.</summary>
    public override double? Operations(Node node) =>
        node.Inputs[0]!.Shape?.ElementCount is { } x && node.Inputs[1]!.Shape is { } w && w[0].Size is { } vocabulary ? 2.0 * node.Outputs.Count * x * vocabulary : null;

    public override void InferShapes(Node node)
    {
        var (x, w, labels, dLoss) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!, node.Inputs[3]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (ElementType.Float, Shape.Scalar);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (x.Type, x.Shape);
        if (node.Outputs.Count > 2)
            (node.Outputs[2].Type, node.Outputs[2].Shape) = (To(node), w.Shape);
        ShapeRule.Require("linear-cross-entropy", node, dLoss, "dLoss", Shape.Scalar, "Give the gradient of the loss.");
        if (x.Shape is not { } shape)
            return;
        if (shape.Rank != 2)
            throw new HaloException("linear-cross-entropy", node.ToString(), "X (N, H)", $"{shape}", "Reshape it to rows.");
        ShapeRule.Require("linear-cross-entropy", node, labels, "labels", new Shape([shape[0]]), "Reshape them to one axis.");
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X", "W", "labels", "dLoss")
        {
            AttributeNames = ["rows", "to"],
            AttributeDefaults = [Attribute.Of("ignoreIndex", TrainingNames.IgnoredLabel)],
        };
        var type = node.Inputs[0]!.Type;
        var (x, w, labels) = (body.ToFloat("x", body.Input(0), type), body.ToFloat("w", body.Input(1), type), body.Input(2));
        Value Rounded(string name, Value value) => body.ToFloat($"{name}.wide", body.FromFloat($"{name}.rounded", value, type), type);
        var logits = Rounded("logits", body.Op("product", "Gemm", [x, w], Attribute.Of("transB", 1L)));
        body.Prefix = "loss.";
        var (loss, sums) = CrossEntropy.Of(body, logits, labels);
        body.Prefix = "grad.";
        var dLogits = Rounded("dLogits", CrossEntropyGrad.Of(body, body.Input(3), logits, labels, sums));
        body.Prefix = "";
        var dX = body.FromFloat("dx.rounded", body.Op("dx", "Gemm", [dLogits, w]), type);
        body.Output("loss", loss).Output("dX", dX);
        return node.Outputs.Count == 2 ? body
            : body.Output("dW", body.FromFloat("dw.rounded", body.Op("dw", "Gemm", [dLogits, x], Attribute.Of("transA", 1L)), To(node)));
    }

    private static ElementType To(Node node)
    {
        var to = (ElementType)node.Int("to", (long)ElementType.Float);
        return to == ElementType.Float || to == node.Inputs[0]!.Type ? to : throw new HaloException("linear-cross-entropy", node.ToString(),
            $"a gradient in float or {node.Inputs[0]!.Type.Name()}, the type of X", to.Name(), "Cast it afterwards.");
    }
}

/// <summary>Makes <see cref="CustomOps.LinearCrossEntropy"/> nodes.</summary>
public static class LinearCrossEntropyExtensions
{
    /// <summary>The loss of logits <paramref name="x"/> (N, H) times <paramref name="w"/> (V, H) transposed, and the gradients of both.</summary>
    public static (Value Loss, Value Dx, Value Dw) LinearCrossEntropy(
        this GraphBuilder build, Value x, Value w, Value labels, Value dLoss, long rows, ElementType to, string name,
        long ignoreIndex = TrainingNames.IgnoredLabel)
    {
        _ = HaloOperators.OverloadOf("linear-cross-entropy", x);
        var node = HaloOperators.Call(build, name, nameof(LinearCrossEntropy), [x, w, labels, dLoss], 3, CustomOps.LinearCrossEntropy.Overload(x.Type, to),
            Attribute.Of("ignoreIndex", ignoreIndex), Attribute.Of("rows", rows), Attribute.Of("to", (long)to));
        return (node.Outputs[0], node.Outputs[1], node.Outputs[2]);
    }

    /// <summary>The same where <paramref name="w"/> is frozen.</summary>
    public static (Value Loss, Value Dx) LinearCrossEntropy(
        this GraphBuilder build, Value x, Value w, Value labels, Value dLoss, long rows, string name, long ignoreIndex = TrainingNames.IgnoredLabel)
    {
        _ = HaloOperators.OverloadOf("linear-cross-entropy", x);
        var node = HaloOperators.Call(build, name, nameof(LinearCrossEntropy), [x, w, labels, dLoss], 2,
            CustomOps.LinearCrossEntropy.Overload(x.Type, ElementType.Undefined),
            Attribute.Of("ignoreIndex", ignoreIndex), Attribute.Of("rows", rows), Attribute.Of("to", (long)ElementType.Undefined));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
