using System.Numerics.Tensors;
using Halo.CustomOps;
using Halo.Tests.Numerics;

namespace Halo.Tests.CustomOps;

public class HadamardTests
{
    public static TheoryData<long, int> Sizes { get; } = new()
    {
        { 1, 1 }, { 2, 1 }, { 64, 1 }, { 256, 1 }, { 172, 172 }, { 156, 156 }, { 140, 140 }, { 108, 108 }, { 100, 100 }, { 60, 60 }, { 52, 52 }, { 104, 52 },
        { 36, 36 }, { 72, 36 }, { 28, 28 }, { 448, 28 }, { 40, 40 }, { 80, 40 }, { 20, 20 }, { 12, 12 }, { 24, 12 }, { 96, 12 }, { 44, 44 }, { 704, 44 },
        { 68, 68 }, { 76, 76 }, { 84, 84 }, { 124, 124 }, { 132, 132 }, { 148, 148 }, { 284, 284 }, { 924, 924 }, { 500, 500 },
    };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void A_matrix_is_orthonormal_and_of_the_expected_order(long n, int order)
    {
        Assert.Equal(order, Hadamard.Order(n).K);
        var h = Hadamard.Dense(n);
        var rows = Enumerable.Range(0, (int)n).Select(i => Enumerable.Range(0, (int)n).Select(j => h[i, j]).ToArray()).ToArray();
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j <= i; j++)
            {
                var dot = TensorPrimitives.Dot<double>(rows[i], rows[j]);
                if (Math.Abs(dot - (i == j ? 1 : 0)) > Tolerances.Float64Sums)
                    Assert.Fail($"rows {i} and {j}: {dot}");
            }
        }
    }

    [Theory]
    [InlineData(4096, 1)]
    [InlineData(8192, 1)]
    [InlineData(14336, 28)]
    [InlineData(11008, 172)]
    [InlineData(13824, 108)]
    [InlineData(17920, 140)]
    [InlineData(5120, 40)]
    [InlineData(3072, 12)]
    [InlineData(1600, 100)]
    [InlineData(5632, 44)]
    [InlineData(25600, 100)]
    [InlineData(4864, 76)]
    [InlineData(18944, 148)]
    [InlineData(29568, 924)]
    [InlineData(9728, 76)]
    [InlineData(17408, 68)]
    [InlineData(4544, 284)]
    public void Sizes_of_published_models_are_constructible(long n, int order) => Assert.Equal(order, Hadamard.Order(n).K);

    [Fact]
    public void Factors_multiply_to_the_matrix()
    {
        foreach (var n in new long[] { 1, 24, 96, 172, 448, 704 })
        {
            var (n1, n2) = Hadamard.Factors(n);
            var (h, left, right) = (Hadamard.Dense(n), Hadamard.Dense(n1), Hadamard.Dense(n2));
            for (var i = 0; i < n; i++)
            {
                for (var j = 0; j < n; j++)
                    Assert.Equal(h[i, j], left[i / n2, j / n2] * right[i % n2, j % n2], Tolerances.Float64);
            }
        }
    }

    [Theory]
    [InlineData(704, long.MaxValue, new long[] { 704 })]
    [InlineData(1, long.MaxValue, new long[] { 1 })]
    [InlineData(3, long.MaxValue, new long[] { 2, 1 })]
    [InlineData(19, long.MaxValue, new long[] { 16, 2, 1 })]
    [InlineData(2048, 1024, new long[] { 1024, 1024 })]
    [InlineData(2400, 1024, new long[] { 1024, 1024, 352 })]
    [InlineData(5, 1, new long[] { 1, 1, 1, 1, 1 })]
    public void Blocks_are_one_or_fall(long n, long maxBlock, long[] expected) => Assert.Equal(expected, Hadamard.Blocks(n, maxBlock));

    [Fact]
    public void Blocks_cover_every_size()
    {
        for (var n = 1L; n <= 3000; n++)
        {
            var blocks = Hadamard.Blocks(n, 1024);
            Assert.Equal(n, blocks.Sum());
            Assert.All(blocks, block => Assert.True(block <= 1024 && Hadamard.IsConstructible(block)));
            Assert.Equal(blocks.OrderDescending(), blocks);
        }
    }

    [Fact]
    public void A_size_without_a_matrix_is_refused()
    {
        Assert.False(Hadamard.IsConstructible(19));
        Assert.Contains("Hadamard.Blocks", Assert.Throws<HaloException>(() => Hadamard.Order(19)).Message);
    }
}
