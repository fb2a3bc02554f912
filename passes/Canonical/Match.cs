using Halo.Ir;

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

    /// <summary>Whether a reduction runs along the last axis of its input, and keeps it with size 1.</summary>
    public static bool ReducesLastAxis(Node reduction) => reduction.Inputs[0]!.Shape is { Rank: > 0 } shape && reduction.Int("keepdims", 1) == 1
        && (reduction.Input(1)?.Integers() ?? reduction.Ints("axes")) is [var axis] && (axis == -1 || axis == shape.Rank - 1);

    /// <summary>Whether the constant is this number to the precision of its type.</summary>
    public static bool Is(Value? value, double number) => value?.Number() is { } found && Math.Abs(found - number) <= 1e-6 * Math.Abs(number);
}
