using System.Numerics;
using System.Runtime.InteropServices;

namespace Halo.Ir;

/// <summary>Float32 to and from the other floating point types of checkpoints, rounding to nearest even.</summary>
/// <remarks>
/// bfloat16 is the upper half of float32. Rounding adds 0x7FFF plus the lowest kept bit to the 32-bit pattern and drops the lower half; overflow
/// carries into the exponent and gives infinity. NaN would carry too, so it is kept and made quiet instead.
/// </remarks>
internal static class FloatConversions
{
    private const uint Infinity = 0x7F80_0000, Magnitude = 0x7FFF_FFFF, QuietBit = 0x40;

    /// <summary>One value; the plain form that the vectorised one is tested against.</summary>
    public static ushort ToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        if (float.IsNaN(value)) return (ushort)((bits >> 16) | QuietBit);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>One value, exact.</summary>
    public static float FromBFloat16(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Float32 to bfloat16 bit patterns; the spans have one length.</summary>
    public static void ToBFloat16(ReadOnlySpan<float> source, Span<ushort> target)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(target.Length, source.Length);
        var bits = MemoryMarshal.Cast<float, uint>(source);
        var i = 0;
        for (var step = Vector<uint>.Count; i <= bits.Length - 2 * step; i += 2 * step)
            Vector.Narrow(Round(new Vector<uint>(bits[i..])), Round(new Vector<uint>(bits[(i + step)..]))).CopyTo(target[i..]);
        for (; i < source.Length; i++) target[i] = ToBFloat16(source[i]);
    }

    /// <summary>Bfloat16 bit patterns to float32, exact; the spans have one length.</summary>
    public static void FromBFloat16(ReadOnlySpan<ushort> source, Span<float> target)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(target.Length, source.Length);
        var bits = MemoryMarshal.Cast<float, uint>(target);
        var i = 0;
        for (var step = Vector<ushort>.Count; i <= source.Length - step; i += step)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out var low, out var high);
            Vector.ShiftLeft(low, 16).CopyTo(bits[i..]);
            Vector.ShiftLeft(high, 16).CopyTo(bits[(i + step / 2)..]);
        }
        for (; i < source.Length; i++) target[i] = FromBFloat16(source[i]);
    }

    /// <summary>Bytes of F32, F16, BF16 or F64 elements to float32.</summary>
    public static void ToFloat(ElementType type, ReadOnlySpan<byte> source, Span<float> target)
    {
        switch (type)
        {
            case ElementType.Float: MemoryMarshal.Cast<byte, float>(source).CopyTo(target); break;
            case ElementType.BFloat16: FromBFloat16(MemoryMarshal.Cast<byte, ushort>(source), target); break;
            case ElementType.Float16: Convert(MemoryMarshal.Cast<byte, Half>(source), target); break;
            case ElementType.Double: Convert(MemoryMarshal.Cast<byte, double>(source), target); break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, "not a floating point type of 16 bits or more");
        }
    }

    /// <summary>Float32 to the bytes of F32, F16, BF16 or F64 elements.</summary>
    public static void FromFloat(ElementType type, ReadOnlySpan<float> source, Span<byte> target)
    {
        switch (type)
        {
            case ElementType.Float: MemoryMarshal.AsBytes(source).CopyTo(target); break;
            case ElementType.BFloat16: ToBFloat16(source, MemoryMarshal.Cast<byte, ushort>(target)); break;
            case ElementType.Float16: Convert(source, MemoryMarshal.Cast<byte, Half>(target)); break;
            case ElementType.Double: Convert(source, MemoryMarshal.Cast<byte, double>(target)); break;
            default: throw new ArgumentOutOfRangeException(nameof(type), type, "not a floating point type of 16 bits or more");
        }
    }

    /// <summary>The first finite value that rounds to infinity in a type; null if there is none.</summary>
    public static float? FirstBeyond(ElementType type, ReadOnlySpan<float> values)
    {
        // Halfway from the largest number to the power of two behind it; from there on, ties to even included, values round up.
        var beyond = type switch { ElementType.Float16 => 65520f, ElementType.BFloat16 => 3.3961776e38f, _ => float.PositiveInfinity };
        if (beyond == float.PositiveInfinity || !values.ContainsAnyExceptInRange(MathF.BitIncrement(-beyond), MathF.BitDecrement(beyond)))
            return null;
        foreach (var value in values)
        {
            if (float.IsFinite(value) && Math.Abs(value) >= beyond)
                return value;
        }
        return null;
    }

    private static void Convert<TFrom, TTo>(ReadOnlySpan<TFrom> source, Span<TTo> target) where TFrom : INumberBase<TFrom> where TTo : INumberBase<TTo>
    {
        for (var i = 0; i < source.Length; i++)
            target[i] = TTo.CreateTruncating(source[i]);
    }

    private static Vector<uint> Round(Vector<uint> bits)
    {
        var upper = Vector.ShiftRightLogical(bits, 16);
        var rounded = Vector.ShiftRightLogical(bits + new Vector<uint>(0x7FFF) + (upper & Vector<uint>.One), 16);
        var isNan = Vector.GreaterThan(bits & new Vector<uint>(Magnitude), new Vector<uint>(Infinity));
        return Vector.ConditionalSelect(isNan, upper | new Vector<uint>(QuietBit), rounded);
    }
}
