using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Rounds a tensor to int8 codes under a scale for each 128 neighbours, x ~ q * scale: what is kept of an activation for the backward part.</summary>
/// <remarks>
/// X (any shape), float32, float16 or bfloat16 -> Q (the same shape) int8, scales (ceil(count / 128)) float32, of the elements in the order of memory.
/// With a the largest magnitude of a block: scale = a / 127, q = round-half-even(x (127 / a)), all in float32; both factors are 1 where a / 127 is no normal
/// float32. Where an element is not finite the scale is NaN. Blocks as of [Dettmers et al. 2022, 8-bit optimizers], with evenly spaced codes.
/// </remarks>
public sealed class QuantizeBlocks : HaloOperator
{
    /// <summary>Neighbours that share a scale.</summary>
    public const long BlockSize = 128;

    /// <summary>2^-126.</summary>
    private const float SmallestNormal = 1.17549435e-38f;

    public override string OpType => nameof(QuantizeBlocks);

    public override string Schema => "QuantizeBlocks(X: T) -> Q: int8, scales: float; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (ElementType.Int8, node.Inputs[0]!.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, ShapeOfScales(node.Inputs[0]!));
    }

    /// <summary>The shape of a tensor's scales, one axis.</summary>
    internal static Shape ShapeOfScales(Value x) => x.Shape?.ElementCount is { } count ? Shape.Of((count + BlockSize - 1) / BlockSize) : new Shape([default]);

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("X");
        var x = body.ToFloat("x", body.Input(0), node.Inputs[0]!.Type);
        var (minusOne, rest) = (body.Constant("flat", Tensor.Int64s(-1)), body.Constant("block", Tensor.Int64s(BlockSize)));
        var flat = body.Op("elements", "Reshape", [x, minusOne]);
        var count = body.Op("count", "Shape", [flat]);
        var missing = body.Op("missing", "Mod", [body.Op("minusCount", "Neg", [count]), rest]); // takes the sign of the divisor
        var zero = body.Constant("none", Tensor.Int64s(0));
        var padded = body.Op("padded", "Pad", [flat, body.Op("pads", "Concat", [zero, missing], Attribute.Of("axis", 0L))]);
        var blocks = body.Op("blocks", "Reshape", [padded, body.Constant("rows", Tensor.Int64s(-1, BlockSize))]);
        var last = body.Constant("last", Tensor.Int64s(1));
        var max = body.Op("max", "ReduceMax", [blocks, last]);
        var largest = body.Op("largest", "Max", [max, body.Op("minusMin", "Neg", [body.Op("min", "ReduceMin", [blocks, last])])]);
        var qmax = body.Constant("qmax", Tensor.Scalar(127f));
        var (exact, one) = (body.Op("exact", "Div", [largest, qmax]), body.Constant("one", Tensor.Scalar(1f)));
        var tiny = body.Op("tiny", "Less", [exact, body.Constant("smallest", Tensor.Scalar(SmallestNormal))]);
        var inverse = body.Op("inverse", "Where", [tiny, one, body.Op("factor", "Div", [qmax, largest])]);
        var notFinite = body.Op("notFinite", "ReduceSum", [body.Op("zeros", "Mul", [blocks, body.Constant("zero", Tensor.Scalar(0f))]), last]); // 0, or NaN
        var scale = body.Op("scale", "Add", [body.Op("positive", "Where", [tiny, one, exact]), notFinite]);
        var codes = body.Op("codes", "QuantizeLinear",
            [body.Op("scaled", "Mul", [blocks, inverse]), one, body.Constant("zeroPoint", Tensor.Of<sbyte>(ElementType.Int8, [], [0]))]);
        var kept = body.Op("kept", "Slice", [body.Op("row", "Reshape", [codes, minusOne]), zero, count]);
        body.Output("Q", body.Op("q", "Reshape", [kept, body.Op("shape", "Shape", [body.Input(0)])]));
        return body.Output("scales", body.Op("s", "Reshape", [scale, minusOne]));
    }
}

/// <summary>Makes <see cref="CustomOps.QuantizeBlocks"/> nodes.</summary>
public static class QuantizeBlocksExtensions
{
    /// <summary>Codes of <paramref name="x"/> with a scale for each block.</summary>
    public static (Value Codes, Value Scales) QuantizeBlocks(this GraphBuilder build, Value x, string name)
    {
        var node = HaloOperators.Call(build, name, nameof(QuantizeBlocks), [x], 2, HaloOperators.OverloadOf("quantize-blocks", x));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
