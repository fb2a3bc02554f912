using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Halo.Passes.Export.Weights;

/// <summary>Products of rows in float32, by the processor's vectors.</summary>
internal static class RowProducts
{
    /// <summary>y -= sum over i of factors[i] rows[i * stride ..], as long as y.</summary>
    /// <remarks>Four rows at once: y is loaded and stored for four products each.</remarks>
    /// <param name="y">What is changed.</param>
    /// <param name="factors">One for each row.</param>
    /// <param name="rows">From the first value of the first row on.</param>
    /// <param name="stride">From a row to the next.</param>
    public static void Subtract(Span<float> y, ReadOnlySpan<float> factors, ReadOnlySpan<float> rows, int stride)
    {
        var i = 0;
        for (; i + 4 <= factors.Length; i += 4)
        {
            Subtract4(y, factors.Slice(i, 4), rows.Slice(i * stride, y.Length), rows.Slice((i + 1) * stride, y.Length),
                rows.Slice((i + 2) * stride, y.Length), rows.Slice((i + 3) * stride, y.Length));
        }
        for (; i < factors.Length; i++)
            Subtract1(y, factors[i], rows.Slice(i * stride, y.Length));
    }

    /// <summary>Sum of a[i] b[i].</summary>
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        var v = MemoryMarshal.Cast<float, Vector<float>>(a);
        var w = MemoryMarshal.Cast<float, Vector<float>>(b[..a.Length]);
        var (even, odd) = (Vector<float>.Zero, Vector<float>.Zero);
        var i = 0;
        for (; i + 2 <= v.Length; i += 2)
            (even, odd) = (Vector.FusedMultiplyAdd(v[i], w[i], even), Vector.FusedMultiplyAdd(v[i + 1], w[i + 1], odd));
        if (i < v.Length)
            even = Vector.FusedMultiplyAdd(v[i], w[i], even);
        var sum = Vector.Sum(even + odd);
        for (var at = v.Length * Vector<float>.Count; at < a.Length; at++)
            sum += a[at] * b[at];
        return sum;
    }

    private static void Subtract4(
        Span<float> y, ReadOnlySpan<float> factors, ReadOnlySpan<float> a, ReadOnlySpan<float> b, ReadOnlySpan<float> c, ReadOnlySpan<float> d)
    {
        var (va, vb, vc, vd) = (new Vector<float>(-factors[0]), new Vector<float>(-factors[1]), new Vector<float>(-factors[2]), new Vector<float>(-factors[3]));
        var all = MemoryMarshal.Cast<float, Vector<float>>(y);
        ref var ra = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, Vector<float>>(a));
        ref var rb = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, Vector<float>>(b));
        ref var rc = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, Vector<float>>(c));
        ref var rd = ref MemoryMarshal.GetReference(MemoryMarshal.Cast<float, Vector<float>>(d));
        for (var i = 0; i < all.Length; i++)
        {
            var left = Vector.FusedMultiplyAdd(va, Unsafe.Add(ref ra, i), all[i]);
            var right = vb * Unsafe.Add(ref rb, i);
            left = Vector.FusedMultiplyAdd(vc, Unsafe.Add(ref rc, i), left);
            right = Vector.FusedMultiplyAdd(vd, Unsafe.Add(ref rd, i), right);
            all[i] = left + right;
        }
        for (var at = all.Length * Vector<float>.Count; at < y.Length; at++)
            y[at] -= (factors[0] * a[at]) + (factors[1] * b[at]) + (factors[2] * c[at]) + (factors[3] * d[at]);
    }

    private static void Subtract1(Span<float> y, float factor, ReadOnlySpan<float> row)
    {
        var all = MemoryMarshal.Cast<float, Vector<float>>(y);
        var rows = MemoryMarshal.Cast<float, Vector<float>>(row);
        var negative = new Vector<float>(-factor);
        for (var i = 0; i < all.Length; i++)
            all[i] = Vector.FusedMultiplyAdd(negative, rows[i], all[i]);
        for (var at = all.Length * Vector<float>.Count; at < y.Length; at++)
            y[at] -= factor * row[at];
    }
}
