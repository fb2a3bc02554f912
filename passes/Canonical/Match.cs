using System.Runtime.InteropServices;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical;

/// <summary>Small steps from value to value, and constants of one element.</summary>
internal static class Match
{
    /// <summary>The value in front of casts between floating types.</summary>
    public static Value BeforeCasts(Value value)
    {
        while (value.Producer is { } node && node.Is("Cast") && node.Inputs[0]!.Type.IsFloat() && value.Type.IsFloat())
            value = node.Inputs[0]!;
        return value;
    }

    /// <summary>The node behind <paramref name="value"/> if it has that type and nobody else reads the value.</summary>
    public static Node? OnlyUser(Value value, string opType) => value.OnlyUser is { } user && user.Is(opType) ? user : null;

    /// <summary>The node behind a Cast between floating types if there is one, with the value it reads.</summary>
    public static Value AfterCast(Value value) => OnlyUser(value, "Cast") is { } cast && cast.Output.Type.IsFloat() ? cast.Output : value;

    /// <summary>The operand of a node of two inputs that is not <paramref name="value"/>; null if both are.</summary>
    public static Value? OtherOperand(Node node, Value value) => (node.Inputs[0] == value, node.Inputs[1] == value) switch
    {
        (true, false) => node.Inputs[1],
        (false, true) => node.Inputs[0],
        _ => null,
    };

    /// <summary>The number that a constant of one element holds; null for any other value.</summary>
    public static double? Scalar(Value? value)
    {
        var tensor = value switch
        {
            null => null,
            { Initializer: { } content, IsGraphInput: false } => content,
            { Producer: { } node } when node.Is("Constant") => ConstantContent.Of(node),
            { Producer: { } node, Shape.ElementCount: 1 } when node.Is("ConstantOfShape") =>
                node.Attributes.TryGetValue("value", out var element) ? element.Tensor : Tensor.Scalar(0f),
            _ => null,
        };
        if (tensor is not { ElementCount: 1 })
            return null;
        var bytes = tensor.ToBytes();
        return tensor.Type switch
        {
            ElementType.Float => MemoryMarshal.Read<float>(bytes),
            ElementType.Double => MemoryMarshal.Read<double>(bytes),
            ElementType.Float16 => (double)MemoryMarshal.Read<Half>(bytes),
            ElementType.BFloat16 => FloatConversions.FromBFloat16(MemoryMarshal.Read<ushort>(bytes)),
            ElementType.Int64 => MemoryMarshal.Read<long>(bytes),
            ElementType.Int32 => MemoryMarshal.Read<int>(bytes),
            _ => null,
        };
    }

    /// <summary>The integers that a constant holds; null for any other value.</summary>
    public static long[]? Integers(Value? value)
    {
        var tensor = value?.Initializer ?? (value?.Producer is { } node && node.Is("Constant") ? ConstantContent.Of(node) : null);
        return tensor is { Type: ElementType.Int64 or ElementType.Int32 } && value is { IsGraphInput: false } ? tensor.ToInt64s() : null;
    }

    /// <summary>Whether a reduction runs along the last axis of its input, and keeps it with size 1.</summary>
    public static bool ReducesLastAxis(Node reduction) => reduction.Inputs[0]!.Shape is { Rank: > 0 } shape && reduction.Int("keepdims", 1) == 1
        && (Integers(reduction.Input(1)) ?? reduction.Ints("axes")) is [var axis] && (axis == -1 || axis == shape.Rank - 1);

    /// <summary>Whether the constant is this number to the precision of its type.</summary>
    public static bool Is(Value? value, double number) => Scalar(value) is { } found && Math.Abs(found - number) <= 1e-6 * Math.Abs(number);
}
