using System.Numerics;
using Halo.CustomOps;

namespace Halo.Passes.Weights;

/// <summary>Turns vectors by Q = diag(signs) H: v becomes v Q. H is block-diagonal and orthonormal (<see cref="Hadamard"/>).</summary>
/// <remarks>
/// Signs stand before H, so that they decide how what is large in one channel is spread [QuaRot, section 4]. H_n = n^(-1/2) A_K (x) S, n = K 2^k: butterflies along the
/// last axis of v as (K, 2^k), then A_K^T along the first, in float32: k + K additions for each value.
/// </remarks>
internal sealed class HadamardRotation
{
    /// <summary>Columns that are turned together: with 4096 rows a megabyte, which a core's cache holds.</summary>
    private const int TileColumns = 64;

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
        Blocks(row, 1);
    }

    /// <summary>Turns the columns of a matrix: W becomes Q^T W, which writes what is turned.</summary>
    /// <param name="matrix">As many rows as the vectors are long.</param>
    /// <param name="columns">Its columns.</param>
    public void Columns(Memory<float> matrix, int columns)
    {
        var rows = matrix.Length / columns;
        Parallel.For(0, (columns + TileColumns - 1) / TileColumns, tile =>
        {
            var all = matrix.Span;
            var start = tile * TileColumns;
            var width = Math.Min(TileColumns, columns - start);
            var values = new float[rows * width];
            for (var i = 0; i < rows; i++)
            {
                var row = values.AsSpan(i * width, width);
                all.Slice(i * columns + start, width).CopyTo(row);
                if (_signs is not null && _signs[i] < 0)
                    Multiply(row, -1);
            }
            Blocks(values, width);
            for (var i = 0; i < rows; i++)
                values.AsSpan(i * width, width).CopyTo(all.Slice(i * columns + start, width));
        });
    }

    /// <summary>Each element of the vector is <paramref name="width"/> neighbours, which are turned alike.</summary>
    private void Blocks(Span<float> values, int width)
    {
        foreach (var (block, order, scale) in _blocks)
        {
            var part = values[..(block * width)];
            values = values[part.Length..];
            var inner = part.Length / order;
            for (var at = 0; at < part.Length; at += inner)
                Sylvester(part.Slice(at, inner), width);
            if (order > 1)
                Outer(part, order, inner);
            Multiply(part, scale);
        }
    }

    /// <summary>Butterflies (a, b) -> (a + b, a - b) at distances width, 2 width, 4 width ...</summary>
    private static void Sylvester(Span<float> values, int width)
    {
        var distance = width;
        if (width == 1 && values.Length >= 8)
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

    private static void Butterfly(Span<float> a, Span<float> b)
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

    /// <summary>Y = A_K^T X, X (K, inner).</summary>
    private static void Outer(Span<float> values, int order, int inner)
    {
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

    private static void AddSigned(Span<float> y, ReadOnlySpan<float> x, int sign)
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
