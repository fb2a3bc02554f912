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
        var count = rows.Length / Factor.Size;
        var groups = scales.Length / count;
        // Slice rows of K columns at most: 32 (K + 128) + K floats, an int up to K = 65 million.
        var floats = ArrayPool<float>.Shared.Rent(checked((count * (Factor.Size + Panel)) + Factor.Size));
        var bytes = ArrayPool<byte>.Shared.Rent(checked(count * (Factor.Size + groups)));
        try
        {
            var slice = new RowSlice(floats, bytes, scales, count, Factor.Size, groups);
            Fit(rows, slice);
            RoundAll(slice);
            for (var r = 0; r < count; r++)
            {
                Pack(slice.Codes(r), slice.Zeros(r), codes.Slice(r * (codes.Length / count), codes.Length / count),
                    zeros.Slice(r * (zeros.Length / count), zeros.Length / count));
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(floats);
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>Scale and zero point of each group, from the weight as it was; then columns in the order in which they are rounded.</summary>
    private void Fit(ReadOnlySpan<float> rows, RowSlice slice)
    {
        var size = Factor.Size;
        for (var j = 0; j < size; j++)
            slice.Importance[Factor.Order[j]] = 1 / (Factor.Rows[(j * size) + j] * Factor.Rows[(j * size) + j]);
        for (var r = 0; r < slice.Count; r++)
        {
            var row = rows.Slice(r * size, size);
            for (var g = 0; g < slice.Groups; g++)
            {
                var group = (g * Grid.Group)..Math.Min(size, (g + 1) * Grid.Group);
                (slice.Scales(r)[g], slice.Zeros(r)[g]) = Grid.Fit(row[group], slice.Importance[group]);
            }
            for (var j = 0; j < size; j++)
                slice.Values(r)[j] = row[Factor.Order[j]];
        }
    }

    /// <summary>Rounds panel by panel; what a panel does to the columns behind it is one product.</summary>
    private void RoundAll(RowSlice slice)
    {
        var size = Factor.Size;
        for (var first = 0; first < size; first += Panel)
        {
            var last = Math.Min(size, first + Panel);
            for (var r = 0; r < slice.Count; r++)
                Round(slice.Values(r), first, last, slice.Errors(r), slice.Codes(r), slice.Scales(r), slice.Zeros(r));
            for (var at = last; at < size; at += Tile)
            {
                for (var r = 0; r < slice.Count; r++)
                {
                    var behind = slice.Values(r).Slice(at, Math.Min(Tile, size - at));
                    RowProducts.Subtract(behind, slice.Errors(r)[..(last - first)], Factor.Rows.AsSpan((first * size) + at), size);
                }
            }
        }
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

    /// <summary>The spans of a slice of rows, by row.</summary>
    private readonly ref struct RowSlice(Span<float> floats, Span<byte> bytes, Span<float> scales, int count, int size, int groups)
    {
        private readonly Span<float> _values = floats[..(count * size)];
        private readonly Span<float> _errors = floats.Slice(count * size, count * Panel);
        private readonly Span<byte> _codes = bytes[..(count * size)];
        private readonly Span<byte> _zeros = bytes.Slice(count * size, count * groups);
        private readonly Span<float> _scales = scales;

        public int Count => count;

        public int Groups => groups;

        /// <summary>What an error of each column counts, (K), by column.</summary>
        public Span<float> Importance { get; } = floats.Slice(count * (size + Panel), size);

        /// <summary>A row of the weight as feedback has left it, (K), in the order of rounding.</summary>
        public Span<float> Values(int row) => _values.Slice(row * size, size);

        /// <summary>Rounding errors of a panel's columns over U_jj, (Panel), in the order of rounding.</summary>
        public Span<float> Errors(int row) => _errors.Slice(row * Panel, Panel);

        /// <summary>One byte for each code, (K), by column.</summary>
        public Span<byte> Codes(int row) => _codes.Slice(row * size, size);

        /// <summary>Zero points, (groups).</summary>
        public Span<byte> Zeros(int row) => _zeros.Slice(row * groups, groups);

        /// <summary>Scales, (groups).</summary>
        public Span<float> Scales(int row) => _scales.Slice(row * groups, groups);
    }
}
