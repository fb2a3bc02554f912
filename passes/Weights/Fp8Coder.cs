namespace Halo.Passes.Weights;

/// <summary>Rows of FP8 E4M3 (no infinities, 448 the largest) with one scale, amax / 448.</summary>
internal static class Fp8Coder
{
    private const float Largest = 448;

    /// <summary>The least normal number; rows that would need a smaller scale are zeros.</summary>
    private const float LeastScale = 1.17549435e-38f;

    /// <summary>2^-6, below which codes are multiples of 2^-9.</summary>
    private const float LeastNormal = 1 / 64f;

    /// <returns>The scale, 1 for a row of zeros.</returns>
    public static float Row(ReadOnlySpan<float> row, Span<byte> codes, Func<float, float> toScale)
    {
        var scale = Scale(row, toScale);
        for (var i = 0; i < row.Length; i++)
            codes[i] = Code(row[i] / scale);
        return scale;
    }

    /// <returns>The scale, 1 for a row of zeros.</returns>
    public static float Scale(ReadOnlySpan<float> row, Func<float, float> toScale)
    {
        var amax = 0f;
        foreach (var w in row)
            amax = Math.Max(amax, Math.Abs(w));
        return toScale(amax / Largest) is >= LeastScale and var held ? held : 1;
    }

    /// <summary>What a finite code stands for.</summary>
    public static float Value(byte code)
    {
        var (sign, exponent, fraction) = (code >> 7, code >> 3 & 15, code & 7);
        // An exponent's bias 7 becomes 127; without exponent, codes are multiples of 2^-9.
        var size = exponent == 0 ? fraction / 512f : BitConverter.Int32BitsToSingle((exponent + 120 << 23) | (fraction << 20));
        return sign == 0 ? size : -size;
    }

    /// <summary>The nearest code, ties to even. Values beyond the largest become the largest.</summary>
    public static byte Code(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        var (sign, size) = (bits >> 24 & 0x80, Math.Min(Math.Abs(value), Largest));
        if (size < LeastNormal)
            return (byte)(sign | BitConverter.SingleToUInt32Bits(size * 512 + 8388608f) & 0xF);
        // 23 bits of fraction become 3, and the exponent's bias 127 becomes 7.
        var magnitude = BitConverter.SingleToUInt32Bits(size);
        return (byte)(sign | ((magnitude + 0x7FFFF + (magnitude >> 20 & 1)) >> 20) - (120 << 3));
    }
}
