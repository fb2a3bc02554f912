using Halo.Ir;
using static Halo.Tests.Passes.Gradients.GradientCase;

namespace Halo.Tests.Passes.Gradients;

internal static class ElementwiseCases
{
    public static IEnumerable<GradientCase> All { get; } =
    [
        .. Unary("Identity", "Neg", "Abs", "Exp", "Sin", "Cos", "Relu", "Sigmoid", "Tanh"),
        .. UnaryInFloat("Erf", "Softplus", "com.microsoft.QuickGelu", "com.microsoft.Gelu"),
        new("positive", "Log", [Positive(2, 3)]),
        new("positive", "Sqrt", [Positive(2, 3)]),
        new("positive", "Reciprocal", [Positive(2, 3)]),
        new("to float32 and back", "Cast", [X(2, 3)], Attribute.Of("to", (long)ElementType.Float)) { Type = ElementType.Float },
        new("to float64", "Cast", [X(2, 3)], Attribute.Of("to", (long)ElementType.Double)) { Type = ElementType.Float },
        new("like another", "CastLike", [X(2, 3), Number(1)]),
        .. Binary("Add", X), .. Binary("Sub", X), .. Binary("Mul", X), .. Binary("Div", Positive),
        new("an input twice", "Mul", [X(2, 3), Again(0)]),
        new("an input twice", "Add", [X(2, 3), Again(0)]),
        new("three inputs, broadcast", "Sum", [X(2, 3), X(3), X(2, 1)]),
        new("one input", "Sum", [X(2, 3)]),
        new("three inputs, broadcast", "Mean", [X(2, 3), X(3), X(2, 1)]) { Type = ElementType.Float },
        new("three inputs, broadcast", "Max", [X(2, 3), X(3), X(2, 1)]),
        new("one input", "Max", [X(2, 3)]),
        new("ties", "Max", [X(2, 3), Again(0)]),
        new("two inputs, broadcast", "Min", [X(2, 3), X(1, 1, 3)]),
        new("ties", "Min", [X(2, 3), Again(0), Again(0)]),
        new("square", "Pow", [X(2, 3), Number(2)]),
        new("square of float32", "Pow", [X(2, 3), Number(2)]) { Type = ElementType.Float },
        new("cube of signed", "Pow", [X(2, 3), Number(3)]),
        new("exponent 0", "Pow", [X(2, 3), Number(0)]),
        new("exponent -0.5", "Pow", [Positive(2, 3), Number(-0.5)]),
        new("trained exponent, broadcast", "Pow", [Positive(2, 3), X(3)]),
        new("trained base, broadcast", "Pow", [Positive(3), X(2, 3)]),
        new("integer exponent", "Pow", [X(2, 3), Ints(3, 1, 2)]),
        new("both limits", "Clip", [X(4, 5), Number(-0.5), Number(0.7)]),
        new("upper limit", "Clip", [X(4, 5), null, Number(0.7)]),
        new("no limit", "Clip", [X(4, 5)]),
        new("trained limits", "Clip", [X(4, 5), Between(-1, -0.5), Between(0.5, 1)]),
        new("broadcast", "Where", [Bools([2, 3], 1, 0, 1, 0, 0, 1), X(3), X(2, 1)]),
        new("one trained", "Where", [Bools([2, 1], 1, 0), Number(5), X(2, 3)]),
        new("inference", "Dropout", [X(2, 3)]),
        new("default", "Swish", [X(2, 3)]) { Opset = 24, Type = ElementType.Float },
        new("alpha", "Swish", [X(2, 3)], Attribute.Of("alpha", 1.5f)) { Opset = 24, Type = ElementType.Float },
        new("exact", "Gelu", [X(2, 3)]) { Type = ElementType.Float },
        new("by tanh", "Gelu", [X(2, 3)], Attribute.Of("approximate", "tanh")) { Type = ElementType.Float },
        new("last axis", "Softmax", [X(2, 3, 4)]),
        new("a middle axis", "Softmax", [X(2, 3, 4)], Attribute.Of("axis", 1L)),
        new("a negative axis", "Softmax", [X(2, 3, 4)], Attribute.Of("axis", -3L)),
        new("size 1", "Softmax", [X(2, 1)]),
        new("last axis", "LogSoftmax", [X(2, 3, 4)]),
        new("a negative axis", "LogSoftmax", [X(2, 3, 4)], Attribute.Of("axis", -2L)),
    ];

    private static IEnumerable<GradientCase> Unary(params string[] names) => names.SelectMany(name => new GradientCase[]
    {
        new("matrix", name, [X(4, 5)]), new("scalar", name, [X()]), new("empty", name, [X(0, 3)]),
    });

    private static IEnumerable<GradientCase> UnaryInFloat(params string[] names) => Unary(names).Select(c => c.InFloat());

    private static IEnumerable<GradientCase> Binary(string name, Func<long[], Argument> argument) =>
    [
        new("equal shapes", name, [argument([2, 3]), argument([2, 3])]),
        new("a vector to a matrix", name, [argument([2, 3]), argument([3])]),
        new("a matrix to a vector", name, [argument([3]), argument([2, 3])]),
        new("both stretched", name, [argument([2, 1, 4]), argument([3, 1])]),
        new("a scalar", name, [argument([]), argument([2, 3])]),
        new("rank with size 1", name, [argument([1, 1]), argument([3])]),
        new("empty", name, [argument([0, 3]), argument([3])]),
        new("a constant", name, [argument([2, 3]), Number(1.5)]),
        new("a constant on the left", name, [Number(1.5), argument([2, 3])]),
    ];
}
