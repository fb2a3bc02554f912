using Halo.CustomOps;
using Halo.Passes.Export.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Weights;

/// <summary>Butterflies against the product with the dense matrix in float64.</summary>
public class HadamardRotationTests
{
    public static TheoryData<string> Sizes => ["1", "2", "4", "8", "12", "20", "64", "96", "344", "256,64,4,1", "172,8", "700"];

    [Theory]
    [MemberData(nameof(Sizes))]
    public void A_row_is_multiplied_by_signs_and_the_dense_matrix(string text)
    {
        var (blocks, n) = Blocks(text);
        var random = new Random(n);
        var signs = HadamardRotation.Signs(5, n);
        foreach (var used in new[] { signs, null })
        {
            var row = Values(random, n);
            var expected = Times(row, used, blocks);
            new HadamardRotation(blocks, used).Row(row);
            Assert.True(RelativeError.Of(row, expected) < Tolerances.OneOperator);
        }
    }

    /// <summary>A column of Q^T W is that column of W, as a row, times Q; more columns than a tile has.</summary>
    [Theory]
    [MemberData(nameof(Sizes))]
    public void Columns_are_turned_as_rows_are(string text)
    {
        var (blocks, n) = Blocks(text);
        const int Columns = 150;
        var rotation = new HadamardRotation(blocks, HadamardRotation.Signs(6, n));
        var matrix = Values(new Random(n), n * Columns);
        var turned = matrix.ToArray();
        rotation.Columns(turned, Columns);
        foreach (var column in new[] { 0, 63, 64, 127, 128, 149 })
        {
            float[] Column(float[] of) => [.. Enumerable.Range(0, n).Select(i => of[i * Columns + column])];
            var row = Column(matrix);
            rotation.Row(row);
            Assert.True(RelativeError.Of(Column(turned), row) < Tolerances.OneOperator);
        }
    }

    [Fact]
    public void Signs_follow_from_the_seed_and_are_balanced()
    {
        var signs = HadamardRotation.Signs(0, 4096);
        Assert.Equal(signs, HadamardRotation.Signs(0, 4096));
        Assert.NotEqual(signs, HadamardRotation.Signs(1, 4096));
        Assert.All(signs, s => Assert.True(s is 1 or -1));
        Assert.True(Math.Abs(signs.Sum()) < 4 * Math.Sqrt(4096), $"{signs.Sum()}");
    }

    private static (long[] Blocks, int Size) Blocks(string text)
    {
        var blocks = text == "700" ? Hadamard.Blocks(700) : [.. text.Split(',').Select(long.Parse)];
        return (blocks, (int)blocks.Sum());
    }

    private static float[] Times(float[] row, float[]? signs, long[] blocks)
    {
        var dense = Hadamard.Dense(blocks);
        var result = new float[row.Length];
        for (var j = 0; j < row.Length; j++)
        {
            var sum = 0.0;
            for (var i = 0; i < row.Length; i++)
                sum += (double)row[i] * (signs?[i] ?? 1) * dense[i, j];
            result[j] = (float)sum;
        }
        return result;
    }

    private static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.5))];
}
