using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>8-bit floats as the bytes that they are, or bytes as 8-bit floats: what crosses the border of a session that takes no such floats.</summary>
/// <remarks>
/// X (any shape) -> Y, the bits of X in the type that the attribute to names as ONNX numbers it; one of the two is uint8. Y lies where X does. The operator of
/// ONNX 26 has no kernel in ONNX Runtime 1.31. The body decodes a byte by a table of all 256, and codes a float by its place among the powers of two; of NaN it
/// makes the positive one.
/// </remarks>
public sealed class BitCast : HaloOperator
{
    public override string OpType => nameof(BitCast);

    public override string Schema => "BitCast(X: A) -> Y: B; A: uint8, float8e4m3fn, float8e5m2; B: uint8, float8e4m3fn, float8e5m2";

    public override void InferShapes(Node node)
    {
        var (from, to) = (node.Inputs[0]!.Type, To(node));
        if (from.Bits() != 8 || to.Bits() != 8 || (from == ElementType.UInt8) == (to == ElementType.UInt8))
        {
            throw new HaloException("bit-cast", node.ToString(), "uint8 and an 8-bit float", $"{from.Name()} and {to.Name()}",
                "Correct the attribute to, or cast the value.");
        }
        (node.Output.Type, node.Output.Shape) = (to, node.Inputs[0]!.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var (from, to) = (node.Inputs[0]!.Type, To(node));
        var body = new FunctionBody("X") { AttributeNames = ["to"] };
        return to == ElementType.UInt8 ? body.Output("Y", Coded(body, MiniFloat.Of(from))) : body.Output("Y", Decoded(body, MiniFloat.Of(to), to));
    }

    private static Value Decoded(FunctionBody body, MiniFloat format, ElementType to)
    {
        var table = body.Constant("table", Tensor.Of<float>(ElementType.Float, [256], [.. Enumerable.Range(0, 256).Select(i => format.Decode((byte)i))]));
        return body.Cast("y", body.Op("values", "Gather", [table, body.Cast("places", body.Input(0), ElementType.Int32)]), to);
    }

    /// <summary>With p powers of two at or below |x|, the code is step(p) |x| + first(p): steps double from one power of two to the next.</summary>
    private static Value Coded(FunctionBody body, MiniFloat format)
    {
        Value Floats(string name, params ReadOnlySpan<float> values) => body.Constant(name, Tensor.Of<float>(ElementType.Float, [values.Length], values.ToArray()));
        var (powers, steps, firsts) = format.Powers();
        var last = body.Constant("last", Tensor.Int64s(-1));
        var x = body.Cast("x", body.Input(0), ElementType.Float);
        var magnitude = body.Op("magnitude", "Abs", [x]);
        var below = body.Op("below", "GreaterOrEqual", [body.Op("column", "Unsqueeze", [magnitude, last]), Floats("powers", powers)]);
        var place = body.Op("place", "ReduceSum", [body.Cast("counted", below, ElementType.Int32), last], Attribute.Of("keepdims", 0L));
        var step = body.Op("step", "Gather", [Floats("steps", steps), place]);
        var first = body.Op("first", "Gather", [Floats("firsts", firsts), place]);
        var code = body.Op("code", "Add", [body.Op("scaled", "Mul", [magnitude, step]), first]);
        var known = body.Op("known", "Where", [body.Op("nan", "IsNaN", [x]), Floats("nan.code", 127), code]);
        var infinite = body.Op("finite", "Where", [body.Op("inf", "IsInf", [x]), Floats("inf.code", format.InfinityCode), known]);
        var negative = body.Op("negative", "Less", [body.Op("sign", "Div", [Floats("one", 1), x]), Floats("zero", 0)]);
        var sign = body.Op("offset", "Where", [negative, Floats("sign.code", 128), Floats("no.sign", 0)]);
        return body.Cast("y", body.Op("whole", "Add", [infinite, sign]), ElementType.UInt8);
    }

    internal static ElementType To(Node node) => (ElementType)node.Int("to", (long)ElementType.UInt8);

    /// <summary>The layout of an 8-bit float.</summary>
    /// <param name="Mantissa">Bits behind the exponent.</param>
    /// <param name="Bias">Of the exponent.</param>
    /// <param name="InfinityCode">Of the positive infinity; of a format without one that of NaN.</param>
    private sealed record MiniFloat(int Mantissa, int Bias, byte InfinityCode)
    {
        public static MiniFloat Of(ElementType type) => type == ElementType.Float8E4M3FN ? new(3, 7, 0x7F) : new(2, 15, 0x7C);

        public float Decode(byte code)
        {
            var (sign, magnitude) = (code > 127 ? -1f : 1f, code & 127);
            if (magnitude >= InfinityCode)
                return magnitude == InfinityCode && InfinityCode != 127 ? sign * float.PositiveInfinity : float.NaN;
            var (exponent, fraction) = (magnitude >> Mantissa, magnitude & ((1 << Mantissa) - 1));
            return sign * (exponent == 0 ? MathF.ScaleB(fraction, 1 - Bias - Mantissa)
                : MathF.ScaleB(fraction + (1 << Mantissa), exponent - Bias - Mantissa));
        }

        /// <summary>The powers of two that are normal numbers, and by how many of them are at or below |x| what a code is.</summary>
        public (float[] Powers, float[] Steps, float[] Firsts) Powers()
        {
            var exponents = Enumerable.Range(1, InfinityCode >> Mantissa).Where(e => e << Mantissa < InfinityCode).ToArray();
            return ([.. exponents.Select(e => MathF.ScaleB(1, e - Bias))],
                [MathF.ScaleB(1, Bias - 1 + Mantissa), .. exponents.Select(e => MathF.ScaleB(1, Bias - e + Mantissa))],
                [0, .. exponents.Select(e => (float)((e - 1) << Mantissa))]);
        }
    }
}

/// <summary>Makes <see cref="CustomOps.BitCast"/> nodes.</summary>
public static class BitCastExtensions
{
    /// <summary>The bits of <paramref name="x"/> in <paramref name="to"/>.</summary>
    public static Value BitCast(this GraphBuilder build, Value x, ElementType to, string name) =>
        HaloOperators.Call(build, name, nameof(BitCast), [x], 1, $"{x.Type.Name()}_{to.Name()}", Attribute.Of("to", (long)to)).Output;
}
