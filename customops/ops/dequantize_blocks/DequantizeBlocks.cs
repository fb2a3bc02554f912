using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The numbers that the codes of <see cref="QuantizeBlocks"/> stand for.</summary>
/// <remarks>
/// Q (any shape) int8, scales (ceil(count / 128)) float32 -> X (the same shape), x = q * scale in float32, rounded to the type that the attribute to
/// names as ONNX numbers it, float32 where it is left out.
/// </remarks>
public sealed class DequantizeBlocks : HaloOperator
{
    public override string OpType => nameof(DequantizeBlocks);

    public override string Schema => "DequantizeBlocks(Q: int8, scales: float) -> X: T; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        (node.Output.Type, node.Output.Shape) = (To(node), node.Inputs[0]!.Shape);
        ShapeRule.Require("dequantize-blocks", node, node.Inputs[1]!, "scales", QuantizeBlocks.ShapeOfScales(node.Inputs[0]!),
            "Take them from the same QuantizeBlocks.");
    }

    public override FunctionBody Body(Node node)
    {
        var to = To(node);
        var body = new FunctionBody("Q", "scales") { AttributeDefaults = to == ElementType.Float ? [] : [Attribute.Of("to", (long)to)] };
        return body.Output("X", body.FromFloat("rounded", Numbers(body, "x", body.Input(0), body.Input(1)), to));
    }

    /// <summary>Codes with their scales as float32, in the codes' shape.</summary>
    internal static Value Numbers(FunctionBody body, string name, Value codes, Value scales)
    {
        Value Int64s(string part, params ReadOnlySpan<long> values) => body.Constant($"{name}.{part}", Tensor.Int64s(values));
        var flat = Int64s("flat", -1);
        var elements = body.Op($"{name}.elements", "Reshape", [body.Cast($"{name}.codes", codes, ElementType.Float), flat]);
        var column = body.Op($"{name}.column", "Unsqueeze", [scales, Int64s("last", 1)]);
        var wide = body.Op($"{name}.wide", "Expand", [column, Int64s("block", 1, QuantizeBlocks.BlockSize)]);
        var factors = body.Op($"{name}.factors", "Slice",
            [body.Op($"{name}.all", "Reshape", [wide, flat]), Int64s("first", 0), body.Op($"{name}.count", "Shape", [elements])]);
        return body.Op(name, "Reshape", [body.Op($"{name}.products", "Mul", [elements, factors]), body.Op($"{name}.shape", "Shape", [codes])]);
    }

    private static ElementType To(Node node) => (ElementType)node.Int("to", (long)ElementType.Float);
}

/// <summary>Makes <see cref="CustomOps.DequantizeBlocks"/> nodes.</summary>
public static class DequantizeBlocksExtensions
{
    /// <summary>What <paramref name="codes"/> stand for, in <paramref name="to"/>.</summary>
    public static Value DequantizeBlocks(this GraphBuilder build, Value codes, Value scales, ElementType to, string name) =>
        HaloOperators.Call(build, name, nameof(DequantizeBlocks), [codes, scales], 1, to == ElementType.Float ? "" : to.Name(),
            to == ElementType.Float ? [] : [Attribute.Of("to", (long)to)]).Output;
}
