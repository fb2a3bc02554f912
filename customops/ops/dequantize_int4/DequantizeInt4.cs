using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The matrix that 4-bit codes in blocks of 32 along its rows stand for: a weight that is held at 0.6 bytes an element.</summary>
/// <remarks>
/// codes (N, 16 B) uint8, the lower four bits first, scales (N, B) float16, zeros (N, B) uint8, B = ceil(K / 32) -> X (N, K),
/// x = (code - zero) * scale in float32, rounded to the type that the attribute to names as ONNX numbers it, float32 where it is left out. Attribute
/// columns: K. Codes behind K are read by nobody. The codes are those of MatMulNBits [ONNX Runtime, docs/ContribOperators.md], whose zero points are packed.
/// </remarks>
public sealed class DequantizeInt4 : HaloOperator
{
    /// <summary>Neighbours in a row that share a scale.</summary>
    public const long BlockSize = 32;

    public override string OpType => nameof(DequantizeInt4);

    public override string Schema => "DequantizeInt4(codes: uint8, scales: float16, zeros: uint8) -> X: T; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        var (columns, rows) = (node.Int("columns", 0), node.Inputs[0]!.Shape is { Rank: 2 } shape ? shape[0] : default);
        (node.Output.Type, node.Output.Shape) = (To(node), new Shape([rows, columns]));
        var blocks = BlocksOf(columns);
        ShapeRule.Require("dequantize-int4", node, node.Inputs[0]!, "codes", new Shape([rows, blocks * BlockSize / 2]), "Code whole blocks of rows.");
        foreach (var (index, name) in new[] { (1, "scales"), (2, "zeros") })
            ShapeRule.Require("dequantize-int4", node, node.Inputs[index]!, name, new Shape([rows, blocks]), "Give one for each block.");
    }

    public override FunctionBody Body(Node node)
    {
        var (to, columns) = (To(node), node.Int("columns", 0));
        var body = new FunctionBody("codes", "scales", "zeros")
        {
            AttributeNames = ["columns"],
            AttributeDefaults = to == ElementType.Float ? [] : [Attribute.Of("to", (long)to)],
        };
        Value Int64s(string name, params ReadOnlySpan<long> values) => body.Constant(name, Tensor.Int64s(values));
        Value Byte(string name, byte value) => body.Constant(name, Tensor.Of<byte>(ElementType.UInt8, [], [value]));
        var (last, blocks) = (Int64s("last", -1), BlocksOf(columns));
        var low = body.Op("low", "BitwiseAnd", [body.Input(0), Byte("mask", 15)]);
        var high = body.Op("high", "BitShift", [body.Input(0), Byte("four", 4)], Attribute.Of("direction", "RIGHT"));
        var pairs = body.Op("pairs", "Concat", [body.Op("first", "Unsqueeze", [low, last]), body.Op("second", "Unsqueeze", [high, last])], Attribute.Of("axis", -1L));
        var codes = body.Cast("numbers", body.Op("blocks", "Reshape", [pairs, Int64s("blocked", -1, blocks, BlockSize)]), ElementType.Float);
        var zeros = body.Op("zero", "Unsqueeze", [body.Cast("points", body.Input(2), ElementType.Float), last]);
        var scales = body.Op("scale", "Unsqueeze", [body.Cast("steps", body.Input(1), ElementType.Float), last]);
        var x = body.Op("x", "Mul", [body.Op("signed", "Sub", [codes, zeros]), scales]);
        var rows = body.Op("rows", "Reshape", [x, Int64s("padded", -1, blocks * BlockSize)]);
        var kept = body.Op("kept", "Slice", [rows, Int64s("begin", 0), Int64s("columns", columns), Int64s("axis", 1)]);
        return body.Output("X", body.FromFloat("rounded", kept, to));
    }

    /// <summary>Blocks of a row.</summary>
    public static long BlocksOf(long columns) => (columns + BlockSize - 1) / BlockSize;

    private static ElementType To(Node node) => (ElementType)node.Int("to", (long)ElementType.Float);
}

/// <summary>Makes <see cref="CustomOps.DequantizeInt4"/> nodes.</summary>
public static class DequantizeInt4Extensions
{
    /// <summary>The matrix of <paramref name="columns"/> columns that codes stand for, in <paramref name="to"/>.</summary>
    public static Value DequantizeInt4(this GraphBuilder build, Value codes, Value scales, Value zeros, long columns, ElementType to, string name) =>
        HaloOperators.Call(build, name, nameof(DequantizeInt4), [codes, scales, zeros], 1, to == ElementType.Float ? $"{columns}" : $"{columns}_{to.Name()}",
            to == ElementType.Float ? [Attribute.Of("columns", columns)] : [Attribute.Of("columns", columns), Attribute.Of("to", (long)to)]).Output;
}
