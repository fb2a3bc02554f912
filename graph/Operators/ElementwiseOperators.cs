using Halo.Ir;

namespace Halo.Operators;

/// <summary>Operators that work element by element, with broadcasting, and those whose output is like their first input.</summary>
internal static class ElementwiseOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        .. Like("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Celu", "Clip", "Cosh", "CumProd", "Elu", "HardSigmoid",
            "HardSwish", "Hardmax", "LeakyRelu", "Mish", "Not", "Round", "Selu", "Shrink", "Sinh", "Softsign", "Tan", "ThresholdedRelu", "Trilu"),
        .. Like("Ceil", "Floor", "Sign").Select(f => f with { EndsGradient = true }),
        .. Like("Cos", "Sin", "Log", "LogSoftmax", "CumSum").Select(f => f with { Precision = PrecisionClass.Wide }),
        .. Like("Exp", "Sqrt", "Reciprocal").Select(f => f with { Precision = PrecisionClass.Wide, Recompute = RecomputeKind.Elementwise }),
        .. Like("Relu", "Softplus", "Swish", "Tanh", "Gelu").Select(f => f with { Recompute = RecomputeKind.Activation }),
        .. new[] { "Gelu", "QuickGelu" }.Select(op => new OperatorFacts("com.microsoft", op) { Shapes = LikeFirst, Recompute = RecomputeKind.Activation }),
        new("", "Erf") { Shapes = LikeFirst, Precision = PrecisionClass.Wide, Recompute = RecomputeKind.Activation },
        new("", "Sigmoid") { Shapes = LikeFirst, FreeSizes = FreeOperands.LikeFirst, Recompute = RecomputeKind.Activation },
        new("", "Softmax") { Shapes = LikeFirst, Precision = PrecisionClass.Wide, Recompute = RecomputeKind.Attention },
        new("", "Neg") { Shapes = LikeFirst, Recompute = RecomputeKind.Elementwise },
        .. Arithmetic("Mod", "PRelu", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "And", "Or", "Xor", "Max", "Min", "Sum", "Mean"),
        .. Arithmetic("Sub", "Div").Select(f => f with { Recompute = RecomputeKind.Elementwise }),
        .. Arithmetic("Add", "Mul").Select(f => f with { FreeSizes = FreeOperands.Broadcast, Recompute = RecomputeKind.Elementwise }),
        .. Arithmetic("Pow").Select(f => f with { Precision = PrecisionClass.Wide, Recompute = RecomputeKind.Elementwise }),
        .. new[] { "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual" }.Select(op => new OperatorFacts("", op)
        {
            Shapes = i => i.Set(ElementType.Bool, BroadcastAll(i)),
            EndsGradient = true,
        }),
        new("", "Where") { Shapes = i => i.Set(i.Type(1), Broadcast(i, 0, 1, 2)), Recompute = RecomputeKind.Elementwise },
        new("", "IsNaN") { Shapes = i => i.Set(ElementType.Bool, i.Shape(0)), EndsGradient = true },
        new("", "IsInf") { Shapes = i => i.Set(ElementType.Bool, i.Shape(0)), EndsGradient = true },
        new("", "Identity") { Shapes = LikeFirst, FreeSizes = FreeOperands.LikeFirst, Role = new OperatorRole.View(ViewKind.Relabels) },
        new("", "Cast")
        {
            Shapes = i => i.Set((ElementType)i.Node.Int("to", 0), i.Shape(0)),
            FreeSizes = FreeOperands.LikeFirst,
            Role = new OperatorRole.View(ViewKind.Converts),
            Precision = PrecisionClass.Boundary,
            Recompute = RecomputeKind.Cast,
        },
        new("", "CastLike") { Shapes = i => i.Set(i.Type(1), i.Shape(0)), Precision = PrecisionClass.Boundary },
        new("", "Dropout")
        {
            Shapes = i =>
            {
                i.Set(0, i.Type(0), i.Shape(0));
                i.Set(1, ElementType.Bool, i.Shape(0));
            },
            IsRandom = true,
        },
    ];

    private static IEnumerable<OperatorFacts> Like(params string[] opTypes) => opTypes.Select(op => new OperatorFacts("", op) { Shapes = LikeFirst });

    private static IEnumerable<OperatorFacts> Arithmetic(params string[] opTypes) =>
        opTypes.Select(op => new OperatorFacts("", op) { Shapes = i => i.Set(i.Type(0), BroadcastAll(i)) });

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
