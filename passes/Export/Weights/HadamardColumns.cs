using System.Buffers;
using Halo.CustomOps;

namespace Halo.Passes.Export.Weights;

/// <summary>Turns the columns of a large matrix in place, unscaled: W becomes (A_K (x) S)^T W.</summary>
/// <remarks>
/// Six butterflies a pass: 64 rows at one distance, a strip of columns at a time, 32 KiB, which a core's cache holds. 4096 rows are read and written
/// twice, not twelve times.
/// </remarks>
internal static class HadamardColumns
{
    private const int PassRows = 64, StripColumns = 128;

    /// <param name="matrix">K 2^k rows.</param>
    /// <param name="columns">Its columns.</param>
    /// <param name="order">K.</param>
    public static void Turn(Memory<float> matrix, int columns, int order)
    {
        var rows = matrix.Length / columns;
        var (inner, strips) = (rows / order, (columns + StripColumns - 1) / StripColumns);
        for (var distance = 1; distance < inner; distance *= PassRows)
        {
            var (step, together) = (distance, Math.Min(PassRows, inner / distance));
            Parallel.For(0, rows / together, group =>
            {
                var first = group / step * step * together + group % step;
                for (var strip = 0; strip < strips; strip++)
                    Butterflies(matrix.Span, columns, first, step, together, strip * StripColumns);
            });
        }
        if (order > 1)
        {
            Parallel.For(0, inner, first =>
            {
                for (var strip = 0; strip < strips; strip++)
                    Outer(matrix.Span, columns, first, inner, order, strip * StripColumns);
            });
        }
    }

    private static void Butterflies(Span<float> matrix, int columns, int first, int step, int rows, int column)
    {
        var width = Math.Min(StripColumns, columns - column);
        for (var distance = 1; distance < rows; distance *= 2)
        {
            for (var i = 0; i < rows; i++)
            {
                if ((i & distance) == 0)
                    HadamardRotation.Butterfly(Segment(matrix, first + i * step), Segment(matrix, first + (i + distance) * step));
            }
        }

        Span<float> Segment(Span<float> of, int row) => of.Slice(row * columns + column, width);
    }

    /// <summary>Rows first, first + step ... as X (K, width) become A_K^T X.</summary>
    private static void Outer(Span<float> matrix, int columns, int first, int step, int order, int column)
    {
        var width = Math.Min(StripColumns, columns - column);
        var signs = HadamardConstructions.Signs(order);
        var rented = ArrayPool<float>.Shared.Rent(order * width);
        for (var i = 0; i < order; i++)
            Segment(matrix, first + i * step).CopyTo(rented.AsSpan(i * width));
        for (var j = 0; j < order; j++)
        {
            var y = Segment(matrix, first + j * step);
            y.Clear();
            for (var i = 0; i < order; i++)
                HadamardRotation.AddSigned(y, rented.AsSpan(i * width, width), signs[i, j]);
        }
        ArrayPool<float>.Shared.Return(rented);

        Span<float> Segment(Span<float> of, int row) => of.Slice(row * columns + column, width);
    }
}
