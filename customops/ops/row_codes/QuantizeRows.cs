using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Rounds a tensor to 8-bit codes under a scale for each block of a row: what gradients are sent as.</summary>
/// <remarks>
/// X (R, ...), float32, float16 or bfloat16, E elements a row -> Q (the same shape), scales (R, E / block) float32. Attributes: format, e4m3, e5m2 or int8;
/// block, elements that share a scale, which divides E. scale = max |x| / qmax of the block, or 1 where that is no normal float32;
/// q = saturate(round-half-even(x / scale)), all in float32. A block with an element that is not finite has a scale of NaN and codes of 0.
/// Blocks lie within rows, so that rows can be given away with their scales. A code and a block's share of a scale take 1 + 4 / block bytes.
/// </remarks>
public sealed class QuantizeRows : HaloOperator
{
    private const float SmallestNormal = 1.17549435e-38f;

    public override string OpType => nameof(QuantizeRows);

    public override string Schema => "QuantizeRows(X: T) -> Q: C, scales: float; T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8";

    public override void InferShapes(Node node)
    {
        var x = node.Inputs[0]!;
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (FormatOf(node).CodeType, x.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, null);
        if (x.Shape is not { } shape || new Shape(shape.Skip(1)).ElementCount is not { } elements)
            return;
        var block = BlockOf(node);
        if (shape.Rank == 0 || block < 1 || elements % block != 0)
        {
            throw new HaloException("quantize-rows", node.ToString(), "rows of whole blocks", $"X {shape}, blocks of {block}",
                "Give a block that divides the elements of a row.");
        }
        node.Outputs[1].Shape = new Shape([shape[0], elements / block]);
    }

    public override FunctionBody Body(Node node)
    {
        var format = FormatOf(node);
        var body = new FunctionBody("X") { AttributeNames = ["format", "block"] };
        var x = body.ToFloat("x", body.Input(0), node.Inputs[0]!.Type);
        var blocks = body.Op("blocks", "Reshape", [x, body.Constant("blocked", Tensor.Int64s(0, -1, BlockOf(node)))]);
        var axis = body.Constant("axis", Tensor.Int64s(2));
        var max = body.Op("max", "ReduceMax", [blocks, axis]);
        var minusMin = body.Op("minusMin", "Neg", [body.Op("min", "ReduceMin", [blocks, axis])]);
        var zeros = body.Op("zeros", "Mul", [blocks, body.Constant("zero", Tensor.Scalar(0f))]); // NaN where an element is not finite
        var absmax = body.Op("absmax", "Add", [body.Op("magnitude", "Max", [max, minusMin]), body.Op("bad", "ReduceSum", [zeros, axis])]);
        var exact = body.Op("exact", "Div", [absmax, body.Constant("qmax", Tensor.Scalar(format.QMax))]);
        var tiny = body.Op("tiny", "Less", [exact, body.Constant("smallest", Tensor.Scalar(SmallestNormal))]);
        var scale = body.Op("scale", "Where", [tiny, body.Constant("one", Tensor.Scalar(1f)), exact]);
        var quotients = body.Op("quotients", "Where", [body.Op("isBad", "IsNaN", [scale]), body.Constant("none", Tensor.Scalar(0f)),
            body.Op("divided", "Div", [blocks, scale])]);
        var shaped = body.Op("shaped", "Reshape", [quotients, body.Op("shape", "Shape", [body.Input(0)])]);
        var q = body.Op("q", "QuantizeLinear",
            [shaped, body.Constant("unit", Tensor.Scalar(1f)), body.Constant("q.zero", Tensor.Of<byte>(format.CodeType, [], [0]))]);
        return body.Output("Q", q).Output("scales", body.Op("flat", "Reshape", [scale, body.Constant("rows", Tensor.Int64s(0, -1))]));
    }

    internal static long BlockOf(Node node) => node.Int("block", 0);

    private static NumberFormat FormatOf(Node node) =>
        NumberFormat.Parse(node.String("format", "none")) is { } format && format != NumberFormat.E3M2 ? format
            : throw new HaloException("quantize-rows", node.ToString(), "format e4m3, e5m2 or int8", $"'{node.String("format", "")}'", "Give one of them.");
}

/// <summary>Makes nodes of <see cref="CustomOps.QuantizeRows"/> and <see cref="CustomOps.SumRows"/>.</summary>
public static class RowCodesExtensions
{
    /// <summary>Codes of <paramref name="x"/> (R, ...), and the scales of its blocks (R, elements of a row / block).</summary>
    public static (Value Codes, Value Scales) QuantizeRows(this GraphBuilder build, Value x, NumberFormat format, long block, string name)
    {
        var node = HaloOperators.Call(build, name, nameof(CustomOps.QuantizeRows), [x], 2,
            string.Join('_', ((string[])[format.Name, $"{block}", HaloOperators.OverloadOf("quantize-rows", x)]).Where(part => part.Length > 0)),
            Attribute.Of("format", format.Name), Attribute.Of("block", block));
        return (node.Outputs[0], node.Outputs[1]);
    }

    /// <summary>What <paramref name="parts"/> tensors, one behind the other along axis 0, are in sum.</summary>
    public static Value SumRows(this GraphBuilder build, Value codes, Value scales, long block, int parts, string name) =>
        HaloOperators.Call(build, name, nameof(CustomOps.SumRows), [codes, scales], 1, $"{block}_{parts}",
            Attribute.Of("block", block), Attribute.Of("parts", (long)parts)).Output;
}
