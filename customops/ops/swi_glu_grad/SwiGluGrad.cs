using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of <see cref="SwiGlu"/>.</summary>
/// <remarks>
/// dY, gate, up (any shape), float32, float16 or bfloat16; or gate, up int8 with gateScales, upScales, as <see cref="QuantizeBlocks"/> gives them
/// -> dGate, dUp (the same shape, the type of dY), gateAbsmax?, upAbsmax? () float32, Y? (the same shape, the type of dY).
/// Attributes: absmax, 1 where the maxima, max |dGate| and max |dUp|, are wanted; again, 1 where SwiGlu's Y is wanted once more, which takes absmax as well.
/// With s = 1 / (1 + e^-gate): dGate = dY * up * s * (1 + gate * (1 - s)), dUp = dY * gate * s, computed in float32. [Shazeer 2020]
/// </remarks>
public sealed class SwiGluGrad : HaloOperator
{
    public override string OpType => nameof(SwiGluGrad);

    public override string Schema => "SwiGluGrad(dY: T, gate: G, up: G, gateScales?: float, upScales?: float)"
        + " -> dGate: T, dUp: T, gateAbsmax?: float, upAbsmax?: float, Y?: T; T: float, float16, bfloat16; G: float, float16, bfloat16, int8";

    public override int Maxima => 2;

    public override void InferShapes(Node node)
    {
        var (dy, gate, up) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!);
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (dy.Type, gate.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (dy.Type, up.Shape);
        for (var i = 2; i < 4 && HaloOperators.GivesAbsoluteMax(node); i++)
            (node.Outputs[i].Type, node.Outputs[i].Shape) = (ElementType.Float, Shape.Scalar);
        if (GivesY(node))
        {
            if (!HaloOperators.GivesAbsoluteMax(node) || node.Outputs.Count < 5)
                throw new HaloException("swi-glu-grad", node.ToString(), "absmax = 1 and five outputs with again = 1", $"{node.Outputs.Count} outputs", "Ask for the maxima too.");
            (node.Outputs[4].Type, node.Outputs[4].Shape) = (dy.Type, gate.Shape);
        }
        if (gate.Shape is not { } shape)
            return;
        ShapeRule.Require("swi-glu-grad", node, up, "up", shape, "Give two tensors of one shape.");
        ShapeRule.Require("swi-glu-grad", node, dy, "dY", shape, "Give the gradient of SwiGlu's Y.");
        for (var i = 3; i < 5 && ReadsCodes(node); i++)
            ShapeRule.Require("swi-glu-grad", node, node.Inputs[i]!, "scales", QuantizeBlocks.ShapeOfScales(gate), "Take them from the same QuantizeBlocks.");
    }

    public override FunctionBody Body(Node node)
    {
        var hasMax = HaloOperators.GivesAbsoluteMax(node);
        var readsCodes = ReadsCodes(node);
        var body = new FunctionBody(((string[])["dY", "gate", "up", "gateScales", "upScales"]).AsSpan(0, readsCodes ? 5 : 3))
        {
            AttributeDefaults = [.. hasMax ? (Attribute[])[Attribute.Of("absmax", 1L)] : [], .. GivesY(node) ? (Attribute[])[Attribute.Of("again", 1L)] : []],
        };
        var type = node.Inputs[0]!.Type;
        var (dy, gate, up) = (body.ToFloat("dy", body.Input(0), type), Kept(1, "g"), Kept(2, "u"));
        var onePlus = CustomOps.SwiGlu.OnePlusExp(body, gate);
        var s = body.Op("s", "Reciprocal", [onePlus]);
        var one = body.Constant("unit", Tensor.Scalar(1f));
        var curve = body.Op("curve", "Add", [one, body.Op("rise", "Mul", [gate, body.Op("rest", "Sub", [one, s])])]);
        var dGate = body.Op("dgate", "Mul", [body.Op("dys", "Mul", [body.Op("dyu", "Mul", [dy, up]), s]), curve]);
        var dUp = body.Op("dup", "Mul", [dy, body.Op("silu", "Mul", [gate, s])]);
        (dGate, dUp) = (body.FromFloat("dgate.rounded", dGate, type), body.FromFloat("dup.rounded", dUp, type));
        body.Output("dGate", dGate).Output("dUp", dUp);
        if (hasMax)
            body.Output("gateAbsmax", body.AbsoluteMax("largest", dGate, type)).Output("upAbsmax", body.AbsoluteMax("largestUp", dUp, type));
        return !GivesY(node) ? body
            : body.Output("Y", body.FromFloat("y.rounded", body.Op("y", "Mul", [body.Op("again", "Div", [gate, onePlus]), up]), type));

        Value Kept(int input, string name) => readsCodes ? DequantizeBlocks.Numbers(body, name, body.Input(input), body.Input(input + 2))
            : body.ToFloat(name, body.Input(input), type);
    }

    /// <summary>Whether it gives Y, which <see cref="SwiGlu"/> gave, once more.</summary>
    public static bool GivesY(Node node) => node.Int("again", 0) != 0;

    /// <summary>Whether gate and up are codes.</summary>
    private static bool ReadsCodes(Node node) => node.Input(3) is not null;
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

    /// <summary>Makes a node that computes what <paramref name="node"/> does, which gives maxima, and behind them gives SwiGlu's Y once more.</summary>
    public static Node SwiGluGradWithY(this GraphBuilder build, Node node, string name)
    {
        var made = build.Node(name, $"{HaloDomain.Name}.{nameof(CustomOps.SwiGluGrad)}", [.. node.Inputs], node.Outputs.Count + 1, "",
            [.. node.Attributes.Values, Attribute.Of("again", 1L)]);
        made.Overload = HaloOperators.OverloadOf(made);
        HaloOperators.EnsureFunction(made);
        return made;
    }

    /// <summary>Lets <paramref name="node"/> read gate and up as codes.</summary>
    public static void ReadCodes(this Node node, (Value Codes, Value Scales) gate, (Value Codes, Value Scales) up)
    {
        node.ReplaceInput(1, gate.Codes);
        node.ReplaceInput(2, up.Codes);
        node.AddInput(gate.Scales);
        node.AddInput(up.Scales);
        node.Overload = HaloOperators.OverloadOf(node);
        HaloOperators.EnsureFunction(node);
    }
}
