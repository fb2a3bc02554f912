using System.Numerics;

namespace Halo.Passes.Export.Weights;

/// <summary>Blocks of FP8 E4M3 (no infinities, 448 the largest) with one scale: w ~ scale code.</summary>
/// <remarks>
/// Codes are floating point numbers, so a larger scale than amax / 448 loses next to nothing: what matters is where a block's values fall between two powers of
/// two, as the step is one eighth of the lower. <see cref="Phases"/> scales from amax / 448 to twice that are tried, and the one with the least squared error
/// is taken. Blocks of zeros have scale 1.
/// </remarks>
internal static class Fp8Coder
{
    /// <summary>Scales that are tried.</summary>
    public const int Phases = 16;

    private const float Largest = 448;

    /// <summary>The least normal number; blocks that would need a smaller scale are zeros.</summary>
    private const float LeastScale = 1.17549435e-38f;

    /// <summary>2^-6, below which codes are multiples of 2^-9.</summary>
    private const float LeastNormal = 1 / 64f;

    /// <summary>Adding and subtracting 1.5 2^14 rounds to a multiple of 2^-9, nearest even, below 2^13.</summary>
    private const float ToStep = 24576;

    private static readonly float[] Factors = [.. Enumerable.Range(0, Phases).Select(i => MathF.Pow(2, (float)i / Phases))];

    /// <param name="block">The values.</param>
    /// <param name="codes">As many bytes.</param>
    /// <param name="toScale">Rounds a scale into the type that holds it.</param>
    /// <returns>The scale.</returns>
    public static float Block(ReadOnlySpan<float> block, Span<byte> codes, Func<float, float> toScale)
    {
        var scale = Scale(block, [], toScale);
        for (var i = 0; i < block.Length; i++)
            codes[i] = Code(block[i] / scale);
        return scale;
    }

    /// <param name="block">The values.</param>
    /// <param name="importance">What the square of each value's error counts; empty: all count alike.</param>
    /// <param name="toScale">Rounds a scale into the type that holds it.</param>
    public static float Scale(ReadOnlySpan<float> block, ReadOnlySpan<float> importance, Func<float, float> toScale)
    {
        var amax = 0f;
        foreach (var w in block)
            amax = Math.Max(amax, Math.Abs(w));
        if (toScale(amax / Largest) is not (>= LeastScale and var first))
            return 1;
        var (best, least) = (first, float.PositiveInfinity);
        foreach (var factor in Factors)
        {
            // Errors are those of w / first, of a size that no square of it leaves the range of numbers.
            var scale = factor == 1 ? first : toScale(first * factor);
            var error = Error(block, importance, first, scale / first);
            if (error < least)
                (best, least) = (scale, error);
        }
        return best;
    }

    /// <summary>Sum of m (x - ratio q(x / ratio))^2, x = w / unit, m the importance, q rounding to a code's value.</summary>
    private static float Error(ReadOnlySpan<float> block, ReadOnlySpan<float> importance, float unit, float ratio)
    {
        var sum = Vector<float>.Zero;
        var i = 0;
        for (; i + Vector<float>.Count <= block.Length; i += Vector<float>.Count)
        {
            var error = Missed(new Vector<float>(block[i..]) / unit, ratio);
            sum += importance.IsEmpty ? error * error : error * error * new Vector<float>(importance[i..]);
        }
        if (i == block.Length)
            return Vector.Sum(sum);
        Span<float> last = stackalloc float[Vector<float>.Count], weights = stackalloc float[Vector<float>.Count];
        last.Clear(); // zeros, which are codes
        block[i..].CopyTo(last);
        weights.Fill(1);
        if (!importance.IsEmpty)
            importance[i..].CopyTo(weights);
        var rest = Missed(new Vector<float>(last) / unit, ratio);
        return Vector.Sum(sum + (rest * rest * new Vector<float>(weights)));
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

    /// <summary>x less what its code stands for, with the sign of x taken off.</summary>
    private static Vector<float> Missed(Vector<float> x, float ratio)
    {
        var size = Vector.Min(Vector.Abs(x) / ratio, new Vector<float>(Largest));
        var bits = Vector.AsVectorUInt32(size);
        var even = Vector.ShiftRightLogical(bits, 20) & Vector<uint>.One;
        var normal = Vector.AsVectorSingle((bits + new Vector<uint>(0x7FFFF) + even) & new Vector<uint>(0xFFF00000));
        var small = size + new Vector<float>(ToStep) - new Vector<float>(ToStep);
        return Vector.Abs(x) - (Vector.ConditionalSelect(Vector.LessThan(size, new Vector<float>(LeastNormal)), small, normal) * ratio);
    }
}
