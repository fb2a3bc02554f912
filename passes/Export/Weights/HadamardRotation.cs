using System.Numerics;
using Halo.CustomOps;

namespace Halo.Passes.Export.Weights;

/// <summary>Turns vectors by Q = diag(signs) H: v becomes v Q. H is block-diagonal and orthonormal (<see cref="Hadamard"/>).</summary>
/// <remarks>
/// Signs stand before H, so that they decide how what is large in one channel is spread [QuaRot, section 4]. H_n = n^(-1/2) A_K (x) S, n = K 2^k:
/// butterflies along the last axis of v as (K, 2^k), then A_K^T along the first, in float32: k + K additions for each value.
/// </remarks>
internal sealed class HadamardRotation
{
    private readonly float[]? _signs;
    private readonly (int Block, int Order, float Scale)[] _blocks;

    /// <param name="blocks">Sizes with a Hadamard matrix; their sum is the vectors' length.</param>
    /// <param name="signs">+1 or -1 for each channel; null leaves them.</param>
    public HadamardRotation(IReadOnlyList<long> blocks, float[]? signs = null)
    {
        _signs = signs;
        _blocks = [.. blocks.Select(b => ((int)b, Hadamard.Order(b).K, (float)(1 / Math.Sqrt(b))))];
    }

    /// <summary>The signs of a seed: bit 0 of SplitMix64's numbers. [Steele, Lea and Flood 2014]</summary>
    public static float[] Signs(int seed, long size)
    {
        var signs = new float[size];
        var state = (ulong)seed;
        for (var i = 0L; i < size; i++)
        {
            var z = state += 0x9E37_79B9_7F4A_7C15;
            z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
            z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
            signs[i] = ((z ^ (z >> 31)) & 1) == 0 ? 1 : -1;
        }
        return signs;
    }

    /// <summary>Turns one vector: a row w of a weight that reads what is turned becomes w Q.</summary>
    public void Row(Span<float> row)
    {
        if (_signs is not null)
            Multiply(row, _signs);
        foreach (var (block, order, scale) in _blocks)
        {
            var part = row[..block];
            row = row[block..];
            for (var at = 0; at < block; at += block / order)
                Sylvester(part.Slice(at, block / order));
            if (order > 1)
                Outer(part, order);
            Multiply(part, scale);
        }
    }

    /// <summary>Turns the columns of a matrix: W becomes Q^T W, which writes what is turned.</summary>
    /// <param name="matrix">As many rows as the vectors are long.</param>
    /// <param name="columns">Its columns.</param>
    public void Columns(Memory<float> matrix, int columns)
    {
        var start = 0;
        foreach (var (block, order, scale) in _blocks)
        {
            var first = start;
            Parallel.For(first, first + block, i => Multiply(matrix.Span.Slice(i * columns, columns), scale * (_signs?[i] ?? 1)));
            HadamardColumns.Turn(matrix.Slice(first * columns, block * columns), columns, order);
            start += block;
        }
    }

    /// <summary>Butterflies (a, b) -> (a + b, a - b) at distances 1, 2, 4 ...</summary>
    private static void Sylvester(Span<float> values)
    {
        var distance = 1;
        if (values.Length >= 8)
        {
            for (var at = 0; at < values.Length; at += 8)
                Eight(values.Slice(at, 8));
            distance = 8;
        }
        for (; distance < values.Length; distance *= 2)
        {
            for (var at = 0; at < values.Length; at += 2 * distance)
                Butterfly(values.Slice(at, distance), values.Slice(at + distance, distance));
        }
    }

    /// <summary>The distances 1, 2 and 4, too near for vectors.</summary>
    private static void Eight(Span<float> v)
    {
        var (a, b, c, d) = (v[0] + v[1], v[0] - v[1], v[2] + v[3], v[2] - v[3]);
        var (e, f, g, h) = (v[4] + v[5], v[4] - v[5], v[6] + v[7], v[6] - v[7]);
        (a, b, c, d) = (a + c, b + d, a - c, b - d);
        (e, f, g, h) = (e + g, f + h, e - g, f - h);
        (v[0], v[1], v[2], v[3]) = (a + e, b + f, c + g, d + h);
        (v[4], v[5], v[6], v[7]) = (a - e, b - f, c - g, d - h);
    }

    /// <summary>(a, b) becomes (a + b, a - b).</summary>
    internal static void Butterfly(Span<float> a, Span<float> b)
    {
        var i = 0;
        for (; i <= a.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var (x, y) = (new Vector<float>(a[i..]), new Vector<float>(b[i..]));
            (x + y).CopyTo(a[i..]);
            (x - y).CopyTo(b[i..]);
        }
        for (; i < a.Length; i++)
            (a[i], b[i]) = (a[i] + b[i], a[i] - b[i]);
    }

    /// <summary>Y = A_K^T X, X (K, 2^k).</summary>
    private static void Outer(Span<float> values, int order)
    {
        var inner = values.Length / order;
        var signs = HadamardConstructions.Signs(order);
        var source = values.ToArray();
        values.Clear();
        for (var i = 0; i < order; i++)
        {
            var x = source.AsSpan(i * inner, inner);
            for (var j = 0; j < order; j++)
                AddSigned(values.Slice(j * inner, inner), x, signs[i, j]);
        }
    }

    /// <summary>y becomes y + sign x.</summary>
    internal static void AddSigned(Span<float> y, ReadOnlySpan<float> x, int sign)
    {
        var (i, factor) = (0, new Vector<float>(sign));
        for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count)
            (new Vector<float>(y[i..]) + factor * new Vector<float>(x[i..])).CopyTo(y[i..]);
        for (; i < y.Length; i++)
            y[i] += sign * x[i];
    }

    private static void Multiply(Span<float> values, float factor)
    {
        var i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
            (new Vector<float>(values[i..]) * factor).CopyTo(values[i..]);
        for (; i < values.Length; i++)
            values[i] *= factor;
    }

    /// <summary>Multiplies element by element.</summary>
    public static void Multiply(Span<float> values, ReadOnlySpan<float> factors)
    {
        var i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
            (new Vector<float>(values[i..]) * new Vector<float>(factors[i..])).CopyTo(values[i..]);
        for (; i < values.Length; i++)
            values[i] *= factors[i];
    }
}
