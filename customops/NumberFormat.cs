using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>A way to write real numbers in 8 bits or fewer.</summary>
/// <param name="Name">As on the command line, in attributes and in overload names.</param>
/// <param name="QMax">The largest code's value; a tensor's absolute maximum is scaled to it.</param>
/// <param name="CodeType">The tensor type that holds the codes.</param>
public sealed record NumberFormat(string Name, float QMax, ElementType CodeType)
{
    public static NumberFormat E4M3 { get; } = new("e4m3", 448, ElementType.Float8E4M3FN);

    public static NumberFormat E5M2 { get; } = new("e5m2", 57344, ElementType.Float8E5M2);

    /// <summary>Symmetric: -128 is never written.</summary>
    public static NumberFormat Int8 { get; } = new("int8", 127, ElementType.Int8);

    /// <summary>FP6 with 3 exponent bits of bias 3, no NaN, no Inf. Its 63 values are E4M3 values, which is how they are held.</summary>
    public static NumberFormat E3M2 { get; } = new("e3m2", 28, ElementType.Float8E4M3FN);

    public static IReadOnlyList<NumberFormat> All { get; } = [E4M3, E5M2, Int8, E3M2];

    /// <summary>Reads a name or alias; <c>none</c> is null: the operand stays as it is.</summary>
    public static NumberFormat? Parse(string text) => text switch
    {
        "none" => null,
        "fp8" => E4M3,
        "fp6" => E3M2,
        _ => All.FirstOrDefault(format => format.Name == text) ?? throw new HaloException("number-format", $"'{text}'",
            $"none, fp8, fp6, {string.Join(", ", All.Select(format => format.Name))}", "an unknown format", "Use one of the names."),
    };

    public override string ToString() => Name;
}
