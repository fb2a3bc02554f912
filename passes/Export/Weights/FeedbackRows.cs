using System.Buffers;

namespace Halo.Passes.Export.Weights;

/// <summary>Codes rows column by column; columns behind make up for what a column's rounding does to the layer's outputs. [GPTQ, algorithm 1]</summary>
/// <remarks>
/// Column j of a row w is rounded to q, and the columns behind it get w -= (w_j - q) / U_jj * U_j. That is done at once within a panel of columns; what a panel
/// does to the columns behind it is one product. Rows are independent: a slice of them shares each reading of U. K^2 / 2 multiplications for a row.
/// Scales are those of the weight as it was, fitted with each column's error counting 1 / U_jj^2: what it costs once the columns behind have made up for it.
/// </remarks>
/// <param name="Grid">Codes and scales.</param>
/// <param name="Factor">U, and the order of columns.</param>
internal sealed record FeedbackRows(CodeGrid Grid, FeedbackFactor Factor)
{
    /// <summary>Rows that share a reading of U.</summary>
    public const int Slice = 32;

    private const int Panel = 128;

    /// <summary>Columns of a product: those of a panel of U are 256 KiB, and stay in a core's cache.</summary>
    private const int Tile = 512;

    public void Code(ReadOnlySpan<float> rows, Span<byte> codes, Span<float> scales, Span<byte> zeros)
    {
        var size = Factor.Size;
        var count = rows.Length / size;
        var groups = scales.Length / count;
        var work = ArrayPool<float>.Shared.Rent(count * (size + Panel) + size);
        var found = ArrayPool<byte>.Shared.Rent(count * (size + groups));
        var values = work.AsSpan(0, count * size);
        var errors = work.AsSpan(count * size, count * Panel);
        var importance = work.AsSpan(count * (size + Panel), size);
        var plain = found.AsSpan(0, count * size);
        var points = found.AsSpan(count * size, count * groups);
        for (var j = 0; j < size; j++)
            importance[Factor.Order[j]] = 1 / (Factor.Rows[(j * size) + j] * Factor.Rows[(j * size) + j]);
        for (var r = 0; r < count; r++)
        {
            var row = rows.Slice(r * size, size);
            for (var g = 0; g < groups; g++)
            {
                var group = (g * Grid.Group)..Math.Min(size, (g + 1) * Grid.Group);
                (scales[(r * groups) + g], points[(r * groups) + g]) = Grid.Fit(row[group], importance[group]);
            }
            for (var j = 0; j < size; j++)
                values[(r * size) + j] = row[Factor.Order[j]];
        }
        for (var first = 0; first < size; first += Panel)
        {
            var last = Math.Min(size, first + Panel);
            for (var r = 0; r < count; r++)
            {
                Round(values.Slice(r * size, size), first, last, errors.Slice(r * Panel, Panel), plain.Slice(r * size, size),
                    scales.Slice(r * groups, groups), points.Slice(r * groups, groups));
            }
            for (var at = last; at < size; at += Tile)
            {
                var width = Math.Min(Tile, size - at);
                for (var r = 0; r < count; r++)
                {
                    var behind = values.Slice((r * size) + at, width);
                    RowProducts.Subtract(behind, errors.Slice(r * Panel, last - first), Factor.Rows.AsSpan((first * size) + at), size);
                }
            }
        }
        for (var r = 0; r < count; r++)
        {
            Pack(plain.Slice(r * size, size), points.Slice(r * groups, groups), codes.Slice(r * (codes.Length / count), codes.Length / count),
                zeros.Slice(r * (zeros.Length / count), zeros.Length / count));
        }
        ArrayPool<float>.Shared.Return(work);
        ArrayPool<byte>.Shared.Return(found);
    }

    /// <summary>The columns of a panel of one row, and the error of each over U_jj.</summary>
    private void Round(Span<float> row, int first, int last, Span<float> errors, Span<byte> codes, ReadOnlySpan<float> scales, ReadOnlySpan<byte> zeros)
    {
        for (var j = first; j < last; j++)
        {
            var column = Factor.Order[j];
            var group = column / Grid.Group;
            (codes[column], var value) = Grid.Nearest(row[j], scales[group], zeros[group]);
            var u = Factor.Rows.AsSpan(j * Factor.Size, last);
            var error = (row[j] - value) / u[j];
            errors[j - first] = error;
            RowProducts.Subtract(row[(j + 1)..last], [error], u[(j + 1)..], 0);
        }
    }

    /// <summary>Codes and zero points as <see cref="BlockRows"/> packs them; a last block is filled up with zeros.</summary>
    private void Pack(ReadOnlySpan<byte> plain, ReadOnlySpan<byte> points, Span<byte> codes, Span<byte> zeros)
    {
        var columns = codes.Length * 8 / Grid.Bits;
        codes.Clear();
        for (var j = 0; j < columns; j++)
        {
            var code = j < plain.Length ? plain[j] : points[^1];
            if (Grid.Bits == 8)
                codes[j] = code;
            else
                codes[j / 2] |= (byte)(code << (j % 2 * 4));
        }
        if (zeros.Length == 0)
            return;
        for (var g = 0; g < points.Length; g++)
            zeros[g / 2] |= (byte)(points[g] << (g % 2 * 4));
    }
}
