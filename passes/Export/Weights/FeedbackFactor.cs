using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>How an error in one column of a weight is made up for by the columns behind it: U, upper triangular, of (H + lambda I)^-1 = U^T U.</summary>
/// <remarks>
/// H = X^T X (K, K) is the second moment of a layer's inputs; lambda is 1 % of the mean of its diagonal. [Frantar et al. 2022, arXiv 2210.17323, section 3.3]
/// H = R R^T with R upper triangular, found from the last column to the first, so U = R^-1: no inverse of H is made and factored again.
/// Columns are taken in the order of falling diagonal of H: the largest inputs are rounded first, with the most columns behind them. K^3 / 3 multiplications
/// in float32, two arrays of K^2 while it is made, one that stays.
/// </remarks>
/// <param name="Size">K.</param>
/// <param name="Order">The column of the weight that stands at each place.</param>
/// <param name="Rows">U (K, K); below the diagonal zeros.</param>
internal sealed record FeedbackFactor(int Size, int[] Order, float[] Rows)
{
    private const double Dampening = 0.01;

    /// <summary>Columns that are found together.</summary>
    private const int Panel = 64;

    /// <summary>Columns of U that one thread finds: those of Panel rows stay in its cache.</summary>
    private const int Tile = 128;

    /// <exception cref="HaloException">The moment is not one: of no inputs, or not finite.</exception>
    public static FeedbackFactor Of(string pass, string weight, Tensor moment)
    {
        var size = (int)moment.Sizes[0];
        var h = WeightReader.All(moment);
        double trace = 0;
        for (var i = 0; i < size; i++)
            trace += h[(i * (long)size) + i];
        if (!(trace > 0) || !double.IsFinite(trace))
        {
            throw new HaloException(pass, $"inputs of '{weight}'", "a second moment of finite inputs, not all of them 0", $"a trace of {trace:g3}",
                "Calibrate over rows that reach the layer.");
        }
        int[] order = [.. Enumerable.Range(0, size).OrderByDescending(i => h[(i * (long)size) + i])];
        var factor = new float[h.LongLength];
        Parallel.For(0, size, i =>
        {
            for (var j = i; j < size; j++)
                factor[(i * (long)size) + j] = h[(order[i] * (long)size) + order[j]];
            factor[(i * (long)size) + i] += (float)(Dampening * trace / size);
        });
        Decompose(factor, size, pass, weight);
        Array.Clear(h);
        Invert(factor, h, size);
        return new FeedbackFactor(size, order, h);
    }

    /// <summary>R of H = R R^T over the upper triangle of H, panels of columns from the last to the first.</summary>
    private static void Decompose(float[] h, int size, string pass, string weight)
    {
        for (var end = size; end > 0; end -= Panel)
        {
            var (first, last) = (Math.Max(0, end - Panel), end);
            Parallel.For(0, last, i =>
            {
                var row = h.AsSpan(i * size, size);
                for (var j = Math.Max(first, i); j < last; j++)
                    row[j] -= RowProducts.Dot(row[last..], h.AsSpan((j * size) + last, size - last));
            });
            for (var j = last - 1; j >= first; j--)
            {
                var row = h.AsSpan(j * size, size);
                var square = row[j] - RowProducts.Dot(row[(j + 1)..last], row[(j + 1)..last]);
                if (!(square > 0) || !float.IsFinite(square))
                {
                    throw new HaloException(pass, $"inputs of '{weight}'", "a second moment that is positive definite",
                        $"a pivot of {square:g3} in column {j} of {size}",
                        "Calibrate over more rows.");
                }
                row[j] = MathF.Sqrt(square);
                for (var i = first; i < j; i++)
                    h[(i * size) + j] = (h[(i * size) + j] - RowProducts.Dot(h.AsSpan((i * size) + j + 1, last - j - 1), row[(j + 1)..last])) / row[j];
            }
            Parallel.For(0, first, i =>
            {
                var row = h.AsSpan(i * size, size);
                for (var j = last - 1; j >= first; j--)
                    row[j] = (row[j] - RowProducts.Dot(row[(j + 1)..last], h.AsSpan((j * size) + j + 1, last - j - 1))) / h[(j * size) + j];
            });
        }
    }

    /// <summary>U = R^-1: each tile of columns from the diagonal upwards.</summary>
    private static void Invert(float[] r, float[] u, int size) => Parallel.For(0, (size + Tile - 1) / Tile, tile =>
    {
        var (first, last) = (tile * Tile, Math.Min(size, (tile + 1) * Tile));
        for (var i = last - 1; i >= 0; i--)
        {
            var row = u.AsSpan((i * size) + first, last - first);
            if (i >= first)
                row[i - first] = 1;
            if (i + 1 < last)
                RowProducts.Subtract(row, r.AsSpan((i * size) + i + 1, last - i - 1), u.AsSpan(((i + 1) * size) + first), size);
            var diagonal = r[(i * size) + i];
            for (var j = 0; j < row.Length; j++)
                row[j] /= diagonal;
        }
    });
}
