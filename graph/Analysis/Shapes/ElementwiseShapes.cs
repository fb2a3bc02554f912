using Halo.Ir;

namespace Halo.Analysis.Shapes;

/// <summary>Operators that work element by element, with broadcasting, and those whose output is like their first input.</summary>
internal static class ElementwiseShapes
{
    public static Dictionary<string, InferenceRule> Rules { get; } = new()
    {
        ["Cast"] = i => i.Set((ElementType)i.Node.Int("to", 0), i.Shape(0)),
        ["CastLike"] = i => i.Set(i.Type(1), i.Shape(0)),
        ["Where"] = i => i.Set(i.Type(1), Broadcast(i, 0, 1, 2)),
        ["IsNaN"] = i => i.Set(ElementType.Bool, i.Shape(0)),
        ["IsInf"] = i => i.Set(ElementType.Bool, i.Shape(0)),
        ["Dropout"] = i =>
        {
            i.Set(0, i.Type(0), i.Shape(0));
            i.Set(1, ElementType.Bool, i.Shape(0));
        },
    };

    static ElementwiseShapes()
    {
        foreach (var like in new[]
        {
            "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Clip", "Cos", "Cosh", "CumProd", "CumSum",
            "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Mish", "Neg",
            "Not", "Reciprocal", "Relu", "Round",
            "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Trilu",
        })
        {
            Rules[like] = LikeFirst;
        }
        foreach (var arithmetic in new[] { "Add", "Sub", "Mul", "Div", "Pow", "Mod", "PRelu", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "And", "Or",
            "Xor", "Max", "Min", "Sum", "Mean" })
            Rules[arithmetic] = i => i.Set(i.Type(0), BroadcastAll(i));
        foreach (var comparison in new[] { "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual" })
            Rules[comparison] = i => i.Set(ElementType.Bool, BroadcastAll(i));
    }

    public static void LikeFirst(NodeInference i) => i.Set(i.Type(0), i.Shape(0));

    public static Shape? BroadcastAll(NodeInference i) => Broadcast(i, [.. Enumerable.Range(0, i.Node.Inputs.Count)]);

    /// <summary>The shape several inputs have together; null if the rank of one is unknown.</summary>
    public static Shape? Broadcast(NodeInference i, params int[] inputs)
    {
        Shape? result = null;
        foreach (var input in inputs)
        {
            if (i.Shape(input) is not { } shape)
                return null;
            result = result is null ? shape : Broadcast(i, result, shape);
        }
        return result;
    }

    public static Shape Broadcast(NodeInference i, Shape a, Shape b)
    {
        if (a.Equals(b))
            return a;
        var dims = new Dim[Math.Max(a.Rank, b.Rank)];
        for (var at = 1; at <= dims.Length; at++)
        {
            var (x, y) = (at <= a.Rank ? a[^at] : 1, at <= b.Rank ? b[^at] : 1);
            if (!DimArithmetic.TryBroadcast(x, y, out dims[^at]))
                throw i.Error("shapes that broadcast", $"{a} and {b}");
        }
        return new Shape(dims);
    }
}
