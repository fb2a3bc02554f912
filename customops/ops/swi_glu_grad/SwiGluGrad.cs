using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of <see cref="SwiGlu"/>.</summary>
/// <remarks>
/// dY, gate, up (any shape), float32, float16 or bfloat16 -> dGate, dUp (the same shape and type), gateAbsmax?, upAbsmax? () float32.
/// Attribute: absmax, 1 where the maxima, max |dGate| and max |dUp|, are wanted.
/// With s = 1 / (1 + e^-gate): dGate = dY * up * s * (1 + gate * (1 - s)), dUp = dY * gate * s, computed in float32. [Shazeer 2020]
/// </remarks>
public sealed class SwiGluGrad : HaloOperator
{
    public override string OpType => nameof(SwiGluGrad);

    public override string Schema => "SwiGluGrad(dY: T, gate: T, up: T) -> dGate: T, dUp: T, gateAbsmax?: float, upAbsmax?: float; T: float, float16, bfloat16";

    public override int Maxima => 2;

    public override void InferShapes(Node node)
    {
        var (dy, gate, up) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (gate.Type, gate.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (up.Type, up.Shape);
        for (var i = 2; i < 4 && HaloOperators.GivesAbsoluteMax(node); i++)
            (node.Outputs[i].Type, node.Outputs[i].Shape) = (ElementType.Float, Shape.Scalar);
        if (gate.Shape is not { } shape)
            return;
        ShapeRule.Require("swi-glu-grad", node, up, "up", shape, "Give two tensors of one shape.");
        ShapeRule.Require("swi-glu-grad", node, dy, "dY", shape, "Give the gradient of SwiGlu's Y.");
    }

    public override FunctionBody Body(Node node)
    {
        var hasMax = HaloOperators.GivesAbsoluteMax(node);
        var body = new FunctionBody("dY", "gate", "up") { AttributeDefaults = hasMax ? [Attribute.Of("absmax", 1L)] : [] };
        var type = node.Inputs[1]!.Type;
        var (dy, gate, up) = (body.ToFloat("dy", body.Input(0), type), body.ToFloat("g", body.Input(1), type), body.ToFloat("u", body.Input(2), type));
        var s = body.Op("s", "Reciprocal", [CustomOps.SwiGlu.OnePlusExp(body, gate)]);
        var one = body.Constant("unit", Tensor.Scalar(1f));
        var curve = body.Op("curve", "Add", [one, body.Op("rise", "Mul", [gate, body.Op("rest", "Sub", [one, s])])]);
        var dGate = body.Op("dgate", "Mul", [body.Op("dys", "Mul", [body.Op("dyu", "Mul", [dy, up]), s]), curve]);
        var dUp = body.Op("dup", "Mul", [dy, body.Op("silu", "Mul", [gate, s])]);
        (dGate, dUp) = (body.FromFloat("dgate.rounded", dGate, type), body.FromFloat("dup.rounded", dUp, type));
        body.Output("dGate", dGate).Output("dUp", dUp);
        return hasMax ? body.Output("gateAbsmax", body.AbsoluteMax("largest", dGate, type)).Output("upAbsmax", body.AbsoluteMax("largestUp", dUp, type)) : body;
    }
}

/// <summary>Makes <see cref="CustomOps.SwiGluGrad"/> nodes.</summary>
public static class SwiGluGradExtensions
{
    /// <summary>The gradients of what <see cref="SwiGlu"/> read, from that of its Y.</summary>
    public static (Value DGate, Value DUp) SwiGluGrad(this GraphBuilder build, Value dy, Value gate, Value up, string name)
    {
        var node = HaloOperators.Call(build, name, nameof(SwiGluGrad), [dy, gate, up], 2, HaloOperators.OverloadOf("swi-glu-grad", gate));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
