using System.Globalization;
using Halo.Ir;

namespace Halo.Text;

/// <summary>One tensor element as text and as its bits. Types without a number in C# (float8, float4) are written as hexadecimal codes.</summary>
internal static class ElementText
{
    public static string Format(ElementType type, ulong bits) => type switch
    {
        ElementType.Float => Format(BitConverter.UInt32BitsToSingle((uint)bits)),
        ElementType.BFloat16 => Format(BitConverter.UInt32BitsToSingle((uint)bits << 16)),
        ElementType.Float16 => Format((float)BitConverter.UInt16BitsToHalf((ushort)bits)),
        ElementType.Double => Lower(BitConverter.UInt64BitsToDouble(bits).ToString("R", CultureInfo.InvariantCulture)),
        ElementType.Bool => bits != 0 ? "true" : "false",
        ElementType.Int2 or ElementType.Int4 or ElementType.Int8 or ElementType.Int16 or ElementType.Int32 or ElementType.Int64 =>
            ((long)(bits << (64 - type.Bits())) >> (64 - type.Bits())).ToString(),
        ElementType.UInt2 or ElementType.UInt4 or ElementType.UInt8 or ElementType.UInt16 or ElementType.UInt32 or ElementType.UInt64 => bits.ToString(),
        _ => $"0x{bits:x}",
    };

    public static string Format(float value) => Lower(value.ToString("R", CultureInfo.InvariantCulture));

    /// <summary>The bits of <paramref name="text"/> as an element of <paramref name="type"/>; null if it is none.</summary>
    public static ulong? Parse(ElementType type, string text)
    {
        if (text.StartsWith("0x", StringComparison.Ordinal))
            return ulong.TryParse(text.AsSpan(2), NumberStyles.HexNumber, null, out var code) && (type.Bits() == 64 || code >> type.Bits() == 0) ? code : null;
        if (type.IsFloat())
            return ParseDouble(text) is { } number ? FloatBits(type, number, text) : null;
        if (type == ElementType.Bool)
            return text switch { "true" or "1" => 1, "false" or "0" => 0, _ => null };
        if (!Int128.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var integer))
            return null;
        var mask = type.Bits() == 64 ? ulong.MaxValue : (1UL << type.Bits()) - 1;
        var bits = (ulong)(integer & mask);
        return Format(type, bits) == integer.ToString() ? bits : null;
    }

    public static double? ParseDouble(string text) => text switch
    {
        "nan" => double.NaN,
        "inf" => double.PositiveInfinity,
        "-inf" => double.NegativeInfinity,
        _ => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null,
    };

    public static float ParseFloat(string text) => (float)(ParseDouble(text) ?? 0) is var f && float.IsFinite(f)
        ? float.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture) // rounds once
        : f;

    private static ulong FloatBits(ElementType type, double number, string text)
    {
        if (double.IsNaN(number)) // the quiet NaN with a clear sign, as NumPy and PyTorch write it
            return type switch { ElementType.Float => 0x7FC00000, ElementType.BFloat16 => 0x7FC0, ElementType.Float16 => 0x7E00, _ => 0x7FF8000000000000 };
        switch (type)
        {
            case ElementType.Float:
                return BitConverter.SingleToUInt32Bits(ParseFloat(text));
            case ElementType.BFloat16:
                var bits = BitConverter.SingleToUInt32Bits(ParseFloat(text));
                return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16; // nearest, ties to even
            case ElementType.Float16:
                return BitConverter.HalfToUInt16Bits((Half)number);
            default:
                return BitConverter.DoubleToUInt64Bits(number);
        }
    }

    private static string Lower(string text) => text switch
    {
        "NaN" => "nan",
        "Infinity" => "inf",
        "-Infinity" => "-inf",
        _ => text.Replace('E', 'e'),
    };
}
