using Halo.Ir;

namespace Halo.Operators;

/// <summary>Operators that make tensors of their own: constants, ranges, shapes, random numbers.</summary>
internal static class SourceOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "Constant") { Shapes = Constant, Precision = PrecisionClass.Boundary },
        new("", "ConstantOfShape")
        {
            Shapes = i => i.Set(i.Node.Attributes.TryGetValue("value", out var value) ? value.Tensor.Type : ElementType.Float,
                i.Elements(0) is { } dims ? new Shape(dims) : null),
            Precision = PrecisionClass.Boundary,
            IsShapeInput = _ => true,
        },
        new("", "Range") { Shapes = Range, IsShapeInput = _ => true },
        new("", "Shape") { Shapes = ShapeOf, Precision = PrecisionClass.Boundary, EndsGradient = true },
        new("", "Size") { Shapes = i => i.Set(ElementType.Int64, Shape.Scalar), Precision = PrecisionClass.Boundary, EndsGradient = true },
        new("", "EyeLike") { Shapes = Like, EndsGradient = true },
        new("", "RandomUniform") { Shapes = Random, IsRandom = true },
        new("", "RandomNormal") { Shapes = Random, IsRandom = true },
        new("", "RandomUniformLike") { Shapes = Like, IsRandom = true, EndsGradient = true },
        new("", "RandomNormalLike") { Shapes = Like, IsRandom = true, EndsGradient = true },
        new("", "Bernoulli") { Shapes = Like, IsRandom = true },
        new("", "Multinomial") { IsRandom = true },
    ];

    /// <summary>How many steps of <paramref name="delta"/> lead from <paramref name="start"/> to <paramref name="limit"/>, the limit not counted.</summary>
    public static long RangeCount(long start, long limit, long delta) => Math.Max(0, (limit - start + delta - Math.Sign(delta)) / delta);

    /// <summary>The axes Shape tells, from opset 15 on only some.</summary>
    public static (int Start, int End) ShapeRange(Node node, int rank)
    {
        int Clamped(long axis) => (int)Math.Clamp(axis < 0 ? axis + rank : axis, 0, rank);
        var (start, end) = (Clamped(node.Int("start", 0)), Clamped(node.Int("end", rank)));
        return (start, Math.Max(start, end));
    }

    private static void Like(NodeInference i) => i.Set(DataType(i, i.Type(0)), i.Shape(0));

    private static ElementType DataType(NodeInference i, ElementType otherwise) => (ElementType)i.Node.Int("dtype", (long)otherwise);

    private static void Random(NodeInference i) => i.Set(DataType(i, ElementType.Float), i.Node.Ints("shape") is { } sizes ? Shape.Of([.. sizes]) : null);

    private static void Constant(NodeInference i)
    {
        foreach (var attribute in i.Node.Attributes.Values)
        {
            switch (attribute.Name, attribute.Content)
            {
                case ("value", Tensor tensor): i.Set(tensor.Type, tensor.Shape); break;
                case ("value_int", long): i.Set(ElementType.Int64, Shape.Scalar); break;
                case ("value_float", float): i.Set(ElementType.Float, Shape.Scalar); break;
                case ("value_string", string): i.Set(ElementType.String, Shape.Scalar); break;
                case ("value_ints", IReadOnlyList<long> ints): i.Set(ElementType.Int64, Shape.Of(ints.Count)); break;
                case ("value_floats", IReadOnlyList<float> floats): i.Set(ElementType.Float, Shape.Of(floats.Count)); break;
                case ("value_strings", IReadOnlyList<string> strings): i.Set(ElementType.String, Shape.Of(strings.Count)); break;
            }
        }
    }

    private static void Range(NodeInference i)
    {
        var count = Dim.Unknown;
        if (i.Elements(0) is [var start] && i.Elements(1) is [var limit] && i.Elements(2) is [{ Size: { } delta and not 0 }])
        {
            count = start.Size is { } from && limit.Size is { } to ? RangeCount(from, to, delta)
                : delta == 1 ? DimArithmetic.Subtract(limit, start)
                : Dim.Unknown;
        }
        i.Set(i.Type(0), new Shape([count]));
    }

    private static void ShapeOf(NodeInference i)
    {
        var count = Dim.Unknown;
        if (i.Shape(0) is { } x)
        {
            var (start, end) = ShapeRange(i.Node, x.Rank);
            count = end - start;
        }
        i.Set(ElementType.Int64, new Shape([count]));
    }
}
