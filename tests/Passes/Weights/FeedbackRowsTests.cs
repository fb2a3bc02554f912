using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Weights;

public class FeedbackRowsTests
{
    private static readonly Func<float, float> Exact = x => x;

    public static TheoryData<string, int> Grids => new()
    {
        { "fp8", 40 }, { "fp8", 300 }, { "int8", 64 }, { "int8", 200 }, { "int4", 96 }, { "int4", 200 }, // 200: a last block that is not full
    };

    /// <summary>U^T U (H + lambda I) = I, in float64, over sizes on both sides of panels and tiles.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(64)]
    [InlineData(129)]
    [InlineData(300)]
    public void A_factor_is_the_root_of_the_dampened_inverse(int size)
    {
        var moment = Moment(size, 2 * size, size);
        var factor = FeedbackFactor.Of("test", "w", Tensor.Floats([size, size], moment));
        Assert.Equal(Enumerable.Range(0, size), factor.Order.Order());
        var h = Dampened(moment, size);
        var inverse = Inverse(Enumerable.Range(0, size * size).Select(i => h[(factor.Order[i / size] * size) + factor.Order[i % size]]).ToArray(), size);
        var largest = inverse.Max(Math.Abs);
        for (var i = 0; i < size; i++)
        {
            for (var j = 0; j < size; j++)
            {
                double sum = 0;
                for (var k = 0; k < size; k++)
                    sum += (double)factor.Rows[(k * size) + i] * factor.Rows[(k * size) + j];
                Assert.Equal(inverse[(i * size) + j] / largest, sum / largest, Tolerances.Elimination);
                Assert.True(j >= i || factor.Rows[(i * size) + j] == 0);
            }
        }
    }

    /// <summary>Against elimination of one column after the other from the inverse, in float64; a few codes near a tie may fall otherwise.</summary>
    [Theory]
    [MemberData(nameof(Grids))]
    public void Codes_are_those_of_plain_elimination(string name, int size)
    {
        const int Rows = 37; // more than a slice
        var grid = Grid(name);
        var (moment, w) = (Moment(size, 3 * size, 7), Values(new Random(size), Rows * size));
        var factor = FeedbackFactor.Of("test", "w", Tensor.Floats([size, size], moment));
        var (found, scales, zeros) = Coded(grid, factor, w, Rows, size);
        var expected = Plain(grid, factor.Order, moment, w, Rows, size);
        Assert.InRange(found.Zip(expected, (a, b) => a == b).Count(same => same), 0.97 * found.Length, found.Length);
        Assert.InRange(ErrorOf(found) / ErrorOf(expected), 0.97, 1.03);

        double ErrorOf(byte[] rounded) => Error(w, Decoded(grid, rounded, scales, zeros, Rows, size), moment, Rows, size);
    }

    /// <summary>tr((W - Q) H (W - Q)^T), the error of the layer's outputs, against rounding each weight alone with the same scales.</summary>
    [Theory]
    [MemberData(nameof(Grids))]
    public void Outputs_are_nearer_than_with_each_weight_rounded_alone(string name, int size)
    {
        const int Rows = 32;
        var grid = Grid(name);
        var (moment, w) = (Moment(size, 3 * size, 7), Values(new Random(size), Rows * size));
        var factor = FeedbackFactor.Of("test", "w", Tensor.Floats([size, size], moment));
        var (codes, scales, zeros) = Coded(grid, factor, w, Rows, size);
        var groups = scales.Length / Rows;
        byte[] alone = [.. w.Select((v, i) => i / size * groups + i % size / grid.Group).Zip(w, (at, v) => grid.Nearest(v, scales[at], zeros[at]).Code)];
        var ratio = ErrorOf(codes) / ErrorOf(alone);
        Assert.True(ratio < 0.7, $"{ratio:f3}");

        double ErrorOf(byte[] rounded) => Error(w, Decoded(grid, rounded, scales, zeros, Rows, size), moment, Rows, size);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(float.NaN)]
    public void A_moment_of_no_inputs_is_an_error(float value)
    {
        var moment = new float[16];
        moment.AsSpan().Fill(value);
        var error = Assert.Throws<HaloException>(() => FeedbackFactor.Of("quantize-weights", "w", Tensor.Floats([4, 4], moment)));
        Assert.Contains("inputs of 'w': expected a second moment", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_layer_without_a_moment_is_an_error_that_names_its_weight()
    {
        foreach (var (moments, found) in new[] { (new Dictionary<string, Tensor>(), "found none"), (new() { ["w"] = Tensor.Floats([1, 1], [1f]) }, "[1, 1]") })
        {
            var graph = new Model(new Graph(), HaloOperators.Catalogue).Graph;
            var weight = graph.AddInitializer("w", Tensor.Floats([2, 32], new float[64]));
            var error = Assert.Throws<PassException>(() => new ErrorFeedback("quantize-weights", moments).Of(weight, Grid("int4")));
            Assert.Contains("'w'", error.Message, StringComparison.Ordinal);
            Assert.Contains(found, error.Message, StringComparison.Ordinal);
        }
    }

    private static CodeGrid Grid(string name) => name == "fp8" ? new Fp8Grid(32, Exact) : new BlockGrid(32, name == "int4" ? 4 : 8, Exact);

    /// <summary>Codes one to a byte, with scales and zero points of each group.</summary>
    private static (byte[] Codes, float[] Scales, byte[] Zeros) Coded(CodeGrid grid, FeedbackFactor factor, float[] w, int rows, int size)
    {
        var groups = (size + grid.Group - 1) / grid.Group;
        var padded = grid is Fp8Grid ? size : groups * grid.Group;
        var sizes = grid is BlockGrid block ? new BlockRows(block.Block, block.Bits, Exact).Sizes(groups) : new RowSizes(size, groups, 0);
        var (packed, scales, points) = (new byte[rows * sizes.Codes], new float[rows * groups], new byte[rows * sizes.Zeros]);
        packed.AsSpan().Fill(0xFF); // as a buffer that is used again
        new FeedbackRows(grid, factor).Code(w, packed, scales, points);
        var (codes, zeros) = (new byte[rows * size], new byte[rows * groups]);
        for (var r = 0; r < rows; r++)
        {
            for (var j = 0; j < padded; j++)
            {
                var code = grid.Bits == 8 ? packed[(r * padded) + j] : (byte)(packed[((r * padded) + j) / 2] >> (j % 2 * 4) & 15);
                if (j < size)
                    codes[(r * size) + j] = code;
            }
            for (var g = 0; g < groups; g++)
                zeros[(r * groups) + g] = grid is Fp8Grid ? (byte)0 : grid.Bits == 8 ? (byte)128
                    : (byte)(points[(r * sizes.Zeros) + (g / 2)] >> (g % 2 * 4) & 15);
        }
        return (codes, scales, zeros);
    }

    private static double[] Decoded(CodeGrid grid, byte[] codes, float[] scales, byte[] zeros, int rows, int size)
    {
        var groups = scales.Length / rows;
        return [.. codes.Select((code, i) => (i / size * groups) + (i % size / grid.Group) is var at && grid is Fp8Grid
            ? PlainCodes.E4M3(code) * scales[at] : (code - zeros[at]) * (double)scales[at])];
    }

    /// <summary>Rounds a column, spreads its error by the inverse's row, takes it out of the inverse. [Frantar et al. 2022, equations 2 and 3]</summary>
    private static byte[] Plain(CodeGrid grid, int[] order, float[] moment, float[] w, int rows, int size)
    {
        var codes = new byte[rows * size];
        var first = Inverse(Dampened(moment, size), size);
        var pivots = new float[size];
        var taken = (double[])first.Clone();
        foreach (var j in order)
        {
            pivots[j] = (float)taken[(j * size) + j];
            TakeOut(taken, j, size);
        }
        var importance = Array.ConvertAll(pivots, p => 1 / p);
        for (var r = 0; r < rows; r++)
        {
            var original = w.AsSpan(r * size, size);
            var row = Array.ConvertAll(original.ToArray(), v => (double)v);
            var inverse = (double[])first.Clone();
            foreach (var j in order)
            {
                var start = j / grid.Group * grid.Group;
                var group = start..Math.Min(size, start + grid.Group);
                var (scale, zero) = grid.Fit(original[group], importance.AsSpan()[group]);
                (codes[(r * size) + j], var value) = grid.Nearest((float)row[j], scale, zero);
                var factor = (row[j] - value) / inverse[(j * size) + j];
                for (var k = 0; k < size; k++)
                    row[k] -= factor * inverse[(j * size) + k];
                TakeOut(inverse, j, size);
            }
        }
        return codes;
    }

    private static void TakeOut(double[] inverse, int j, int size)
    {
        var of = inverse.AsSpan(j * size, size).ToArray();
        for (var k = 0; k < size; k++)
        {
            for (var l = 0; of[k] != 0 && l < size; l++)
                inverse[(k * size) + l] -= of[k] * of[l] / of[j];
        }
        for (var k = 0; k < size; k++)
            inverse[(k * size) + j] = inverse[(j * size) + k] = 0;
    }

    private static double Error(float[] w, double[] q, float[] moment, int rows, int size)
    {
        double sum = 0;
        for (var r = 0; r < rows; r++)
        {
            for (var i = 0; i < size; i++)
            {
                for (var j = 0; j < size; j++)
                    sum += (w[(r * size) + i] - q[(r * size) + i]) * moment[(i * size) + j] * (w[(r * size) + j] - q[(r * size) + j]);
            }
        }
        return sum;
    }

    private static double[] Dampened(float[] moment, int size)
    {
        var h = Array.ConvertAll(moment, v => (double)v);
        var lambda = 0.01 * Enumerable.Range(0, size).Average(i => h[(i * size) + i]);
        for (var i = 0; i < size; i++)
            h[(i * size) + i] += lambda;
        return h;
    }

    /// <summary>By Gauss and Jordan; a positive definite matrix needs no pivoting.</summary>
    private static double[] Inverse(double[] matrix, int size)
    {
        var (a, b) = ((double[])matrix.Clone(), new double[size * size]);
        for (var i = 0; i < size; i++)
            b[(i * size) + i] = 1;
        for (var p = 0; p < size; p++)
        {
            var pivot = a[(p * size) + p];
            for (var j = 0; j < size; j++)
                (a[(p * size) + j], b[(p * size) + j]) = (a[(p * size) + j] / pivot, b[(p * size) + j] / pivot);
            for (var i = 0; i < size; i++)
            {
                if (i == p || a[(i * size) + p] == 0)
                    continue;
                var factor = a[(i * size) + p];
                for (var j = 0; j < size; j++)
                {
                    a[(i * size) + j] -= factor * a[(p * size) + j];
                    b[(i * size) + j] -= factor * b[(p * size) + j];
                }
            }
        }
        return b;
    }

    /// <summary>Of inputs whose channels depend on each other, and have sizes of their own.</summary>
    private static float[] Moment(int size, int samples, int seed)
    {
        var random = new Random(seed);
        var h = new double[size * size];
        var x = new double[size];
        for (var s = 0; s < samples; s++)
        {
            double common = 0;
            for (var i = 0; i < size; i++)
            {
                common = (0.9 * common) + random.NextDouble() - 0.5;
                x[i] = common * (1 + (i % 7));
            }
            for (var i = 0; i < size; i++)
            {
                for (var j = 0; j < size; j++)
                    h[(i * size) + j] += x[i] * x[j];
            }
        }
        return Array.ConvertAll(h, v => (float)v);
    }

    private static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.4))];
}
