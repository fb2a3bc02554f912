using Halo.Building;
using Halo.Ir;

namespace Halo.Tests.Passes.Gradients;

/// <summary>An argument of an operator: a random float tensor that is differentiated, a constant, or an argument once more.</summary>
internal sealed record Argument
{
    public long[] Sizes { get; init; } = [];

    /// <summary>Uniform bounds; without them the elements are normal.</summary>
    public (double Low, double High)? Range { get; init; }

    public Tensor? Constant { get; init; }

    /// <summary>A float constant, in the type of the case.</summary>
    public double? Number { get; init; }

    /// <summary>The position of an argument that is read again.</summary>
    public int? Again { get; init; }

    public bool IsTrained => Constant is null && Number is null && Again is null;
}

/// <summary>One call of an operator whose rule is checked by differences.</summary>
/// <param name="Name">What is particular.</param>
/// <param name="OpType">The operator, its domain in front of the last dot.</param>
/// <param name="Arguments">In order; null leaves one out.</param>
/// <param name="Attributes">Of the node.</param>
internal sealed record GradientCase(string Name, string OpType, Argument?[] Arguments, params Attribute[] Attributes)
{
    /// <summary>Float64, but where ONNX Runtime's CPU provider has no such kernel.</summary>
    public ElementType Type { get; init; } = ElementType.Double;

    public long Opset { get; init; } = 21;

    public int OutputCount { get; init; } = 1;

    /// <summary>Makes the node otherwise than by its name, attributes and arguments; the loss reads the first output.</summary>
    public Func<GraphBuilder, IReadOnlyList<Value?>, Value>? Build { get; init; }

    public GradientCase InFloat() => this with { Type = ElementType.Float };

    public override string ToString() => $"{OpType}: {Name}";

    /// <summary>Normal elements.</summary>
    public static Argument X(params long[] sizes) => new() { Sizes = sizes };

    public static Argument Between(double low, double high, params long[] sizes) => new() { Sizes = sizes, Range = (low, high) };

    public static Argument Positive(params long[] sizes) => Between(0.5, 2, sizes);

    public static Argument Number(double value) => new() { Number = value };

    public static Argument Ints(params long[] values) => new() { Constant = Tensor.Int64s(values) };

    public static Argument Index(long[] sizes, params long[] values) => new() { Constant = Tensor.Of<long>(ElementType.Int64, sizes, values) };

    public static Argument Bools(long[] sizes, params byte[] values) => new() { Constant = Tensor.Of<byte>(ElementType.Bool, sizes, values) };

    public static Argument Again(int position) => new() { Again = position };
}
