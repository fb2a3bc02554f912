using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Rounds a tensor to 8-bit codes under one scale, x ~ q * scale.</summary>
/// <remarks>
/// X (any shape), float32, float16 or bfloat16; absmax? () float32 -> Q (the same shape), scale () float32, transposed? (C, R). Attributes: format; transposed,
/// 1 where X (R, C) is a matrix whose codes are wanted in both orders, as products of codes read them that contract different axes of X.
/// absmax is max |x|, or NaN where an element is one, from what computed X: then X is read once.
/// scale = max |x| / qmax, or 1 where that is no normal float32; q = saturate(round-half-even(x / scale)), all in float32.
/// A NaN or Inf in X makes the product that reads (Q, scale) non-finite: the scale is NaN or Inf, or a code is NaN.
/// </remarks>
public sealed class Quantize : HaloOperator
{
    /// <summary>2^-126: below it a scale has lost digits, and its reciprocal may overflow.</summary>
    private const float SmallestNormal = 1.17549435e-38f;

    public override string OpType => nameof(Quantize);

    public override string Schema =>
        "Quantize(X: T, absmax?: float) -> Q: C, scale: float, transposed?: C; T: float, float16, bfloat16; C: float8e4m3fn, float8e5m2, int8";

    public static string Overload(NumberFormat format, ElementType type, bool transposed = false, bool given = false) =>
        (type == ElementType.Float ? format.Name : $"{format.Name}_{type.Name()}") + (transposed ? "_transposed" : "") + (given ? "_given" : "");

    /// <summary>The overload that <paramref name="node"/> calls, by its attributes, inputs and outputs.</summary>
    public static string OverloadOf(Node node) => Overload(FormatOf(node), node.Inputs[0]!.Type, IsBoth(node), node.Input(1) is not null);

    public override OperatorRole Role => new OperatorRole.Codes("format");

    public override RecomputeKind? Recompute => RecomputeKind.Quantize;

    public override void InferShapes(Node node)
    {
        if (node.Input(1) is { } absmax)
            ShapeRule.Require("quantize", node, absmax, "absmax", Shape.Scalar, "Give the largest magnitude of X.");
        InferCodes("quantize", node);
    }

    /// <summary>Sets the outputs of a node that gives codes of X under one scale.</summary>
    internal static void InferCodes(string op, Node node)
    {
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (FormatOf(node).CodeType, node.Inputs[0]!.Shape);
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, Shape.Scalar);
        if (!IsBoth(node))
            return;
        if (node.Outputs.Count != 3 || node.Inputs[0]!.Shape is { Rank: not 2 })
        {
            throw new HaloException(op, node.ToString(), "a matrix and three outputs where transposed is 1",
                $"X {node.Inputs[0]!.Shape} and {node.Outputs.Count} outputs", "Reshape X to rows and columns.");
        }
        (node.Outputs[2].Type, node.Outputs[2].Shape) = (FormatOf(node).CodeType, node.Inputs[0]!.Shape is { } x ? new Shape([x[1], x[0]]) : null);
    }

    /// <summary>Whether the codes are given in both orders.</summary>
    internal static bool IsBoth(Node node) => node.Int("transposed", 0) != 0;

    public override FunctionBody Body(Node node)
    {
        var format = FormatOf(node);
        var isGiven = node.Input(1) is not null;
        var body = new FunctionBody(((string[])["X", "absmax"]).AsSpan(0, isGiven ? 2 : 1))
        {
            AttributeNames = ["format"],
            AttributeDefaults = IsBoth(node) ? [Attribute.Of("transposed", 1L)] : [],
        };
        var (q, scale) = Encoded(body, body.ToFloat("x", body.Input(0), node.Inputs[0]!.Type), isGiven ? body.Input(1) : null, format);
        body.Output("Q", q).Output("scale", scale);
        return IsBoth(node) ? body.Output("transposed", Turned(body, q)) : body;
    }

    /// <summary>Writes codes and scale of x in float32, by its largest magnitude where that is given.</summary>
    internal static (Value Codes, Value Scale) Encoded(FunctionBody body, Value x, Value? absmax, NumberFormat format)
    {
        var exact = body.Op("exact", "Div", [absmax ?? AbsoluteMax(body, x), body.Constant("qmax", Tensor.Scalar(format.QMax))]);
        var tiny = body.Op("tiny", "Less", [exact, body.Constant("smallest", Tensor.Scalar(SmallestNormal))]);
        var scale = body.Op("positive", "Where", [tiny, body.Constant("one", Tensor.Scalar(1f)), exact]);
        if (format == NumberFormat.Int8 && absmax is null) // has no code for NaN
            scale = body.Op("honest", "Add", [scale, NanIfAnyIs(body, x)]);
        return (format == NumberFormat.E3M2 ? RoundToE3M2(body, x, scale) : QuantizeLinear(body, "q", x, scale, format.CodeType), scale);
    }

    /// <summary>Writes the codes of a matrix in the other order.</summary>
    internal static Value Turned(FunctionBody body, Value codes) => body.Op("turned", "Transpose", [codes], Attribute.Of("perm", [1L, 0L]));

    /// <summary>Two reductions, which read X twice, are faster than Abs and one, which write it as well. Inf comes through, NaN does not.</summary>
    private static Value AbsoluteMax(FunctionBody body, Value x)
    {
        var max = body.Op("max", "ReduceMax", [x], Attribute.Of("keepdims", 0L));
        var min = body.Op("min", "ReduceMin", [x], Attribute.Of("keepdims", 0L));
        return body.Op("amax", "Max", [max, body.Op("minusMin", "Neg", [min])]);
    }

    /// <summary>The sum of 0 x: 0, or NaN. ONNX Runtime's ReduceMax skips a NaN in most places; a sum of x itself would overflow.</summary>
    private static Value NanIfAnyIs(FunctionBody body, Value x) =>
        body.Op("nan", "ReduceSum", [body.Op("zeros", "Mul", [x, body.Constant("zero", Tensor.Scalar(0f))])], Attribute.Of("keepdims", 0L));

    /// <summary>E5M2 has E3M2's two mantissa bits, and its subnormals start 2^12 lower: x / 2^12 is rounded on exactly E3M2's grid.</summary>
    private static Value RoundToE3M2(FunctionBody body, Value x, Value scale)
    {
        var shift = body.Constant("shift", Tensor.Scalar(4096f));
        var codes = QuantizeLinear(body, "shifted", body.Op("v", "Div", [x, scale]), shift, ElementType.Float8E5M2);
        var values = body.Op("rounded", "DequantizeLinear", [codes, shift]);
        return QuantizeLinear(body, "q", values, body.Constant("unit", Tensor.Scalar(1f)), ElementType.Float8E4M3FN);
    }

    private static Value QuantizeLinear(FunctionBody body, string name, Value x, Value scale, ElementType type) =>
        body.Op(name, "QuantizeLinear", [x, scale, body.Constant(name + ".zero", Tensor.Of<byte>(type, [], [0]))]);

    internal static NumberFormat FormatOf(Node node) => NumberFormat.Parse(node.Attributes["format"].String)
        ?? throw new HaloException("quantize", node.ToString(), "a format", "none", "Leave the node out.");
}

/// <summary>Makes <see cref="CustomOps.Quantize"/> nodes.</summary>
public static class QuantizeExtensions
{
    /// <summary>Quantizes <paramref name="x"/> under one scale for the whole tensor, by its largest magnitude where <paramref name="absmax"/> is that.</summary>
    public static (Value Codes, Value Scale) Quantize(this GraphBuilder build, Value x, NumberFormat format, string name, Value? absmax = null)
    {
        var node = Node(build, x, format, name, transposed: false, absmax);
        return (node.Outputs[0], node.Outputs[1]);
    }

    /// <summary>The same of a matrix, with its codes transposed as well, by its largest magnitude where <paramref name="absmax"/> is that.</summary>
    public static (Value Codes, Value Scale, Value Transposed) QuantizeBoth(
        this GraphBuilder build, Value x, NumberFormat format, string name, Value? absmax = null)
    {
        var node = Node(build, x, format, name, transposed: true, absmax);
        return (node.Outputs[0], node.Outputs[1], node.Outputs[2]);
    }

    private static Node Node(GraphBuilder build, Value x, NumberFormat format, string name, bool transposed, Value? absmax = null)
    {
        HaloOperators.RequireFloat("quantize", x);
        var named = Attribute.Of("format", format.Name);
        return HaloOperators.Call(build, name, nameof(Quantize), absmax is null ? [x] : [x, absmax], transposed ? 3 : 2,
            CustomOps.Quantize.Overload(format, x.Type, transposed, absmax is not null),
            transposed ? [named, Attribute.Of("transposed", 1L)] : [named]);
    }
}
