using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>The gated unit of LLaMA's feed-forward layers.</summary>
/// <remarks>
/// gate, up (any shape), float32, float16 or bfloat16 -> Y (the same shape and type), absmax? () float32. Attribute: absmax, 1 where
/// that is wanted.
/// y = silu(gate) * up, silu(x) = x / (1 + e^-x), computed in float32; absmax = max |y|. [Shazeer 2020]
/// </remarks>
public sealed class SwiGlu : HaloOperator
{
    public override string OpType => nameof(SwiGlu);

    public override string Schema => "SwiGlu(gate: T, up: T) -> Y: T, absmax?: float; T: float, float16, bfloat16";

    public override RecomputeKind? Recompute => RecomputeKind.Activation;

    public override IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x) => x.Sizes[0]!.SequenceEqual(x.Sizes[1]!) ? x.Sizes[0] : null;

    public override int Maxima => 1;

    public override void InferShapes(Node node)
    {
        var (gate, up) = (node.Inputs[0]!, node.Inputs[1]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (gate.Type, gate.Shape);
        if (HaloOperators.GivesAbsoluteMax(node))
            (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, Shape.Scalar);
        if (gate.Shape is { } shape)
            ShapeRule.Require("swi-glu", node, up, "up", shape, "Give two tensors of one shape.");
    }

    public override FunctionBody Body(Node node)
    {
        var hasMax = HaloOperators.GivesAbsoluteMax(node);
        var body = new FunctionBody("gate", "up") { AttributeDefaults = hasMax ? [Attribute.Of("absmax", 1L)] : [] };
        var type = node.Inputs[0]!.Type;
        var gate = body.ToFloat("g", body.Input(0), type);
        var silu = body.Op("silu", "Div", [gate, OnePlusExp(body, gate)]);
        var y = body.Op("y", "Mul", [silu, body.ToFloat("u", body.Input(1), type)]);
        y = body.FromFloat("rounded", y, type);
        body.Output("Y", y);
        return hasMax ? body.Output("absmax", body.AbsoluteMax("largest", y, type)) : body;
    }

    /// <summary>1 + e^-gate, the reciprocal of the sigmoid; ONNX Runtime's own Sigmoid is 0 from -18 on.</summary>
    internal static Value OnePlusExp(FunctionBody body, Value gate) =>
        body.Op("onePlus", "Add", [body.Op("exp", "Exp", [body.Op("minus", "Neg", [gate])]), body.Constant("one", Tensor.Scalar(1f))]);
}

/// <summary>Makes <see cref="CustomOps.SwiGlu"/> nodes.</summary>
public static class SwiGluExtensions
{
    /// <summary>silu(gate) * up.</summary>
    public static Value SwiGlu(this GraphBuilder build, Value gate, Value up, string name) =>
        HaloOperators.Call(build, name, nameof(SwiGlu), [gate, up], 1, HaloOperators.OverloadOf("swi-glu", gate)).Output;
}
