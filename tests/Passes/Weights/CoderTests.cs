using Halo.Passes.Export.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Weights;

public class CoderTests
{
    public static TheoryData<int, double> Blocks => new() { { 16, 1 }, { 32, 1 }, { 32, 1e-20 }, { 32, 1e20 }, { 64, 3 }, { 128, 0.01 } };

    [Theory]
    [MemberData(nameof(Blocks))]
    public void Four_bits_are_as_near_as_the_plain_search(int size, double scale)
    {
        var random = new Random(size);
        for (var n = 0; n < 200; n++)
        {
            var block = Values(random, size, scale, shift: n % 4 == 0 ? 2 : 0);
            float[] importance = [.. block.Select(_ => (float)(0.1 + random.NextDouble()))];
            foreach (var counts in new[] { [], importance })
            {
                var codes = new byte[size / 2];
                var (held, zero) = BlockCoder.Code4(block, counts, codes, x => x);
                var error = 0.0;
                for (var i = 0; i < size; i++)
                {
                    var code = codes[i / 2] >> i % 2 * 4 & 15;
                    var nearest = PlainCodes.Nearest(block[i] / (double)held, -zero, 15 - zero) + zero;
                    Assert.True(Math.Abs(code - nearest) <= 1); // one more only at a tie that float32 rounds the other way
                    error += (counts.Length == 0 ? 1 : counts[i]) * Math.Pow(block[i] - (double)held * (code - zero), 2);
                }
                Assert.True(Math.Abs(error / PlainCodes.Error4(block, counts) - 1) < Tolerances.Search, $"{error} against {PlainCodes.Error4(block, counts)}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Blocks))]
    public void Eight_bits_are_the_nearest_of_absmax(int size, double scale)
    {
        var random = new Random(size);
        for (var n = 0; n < 50; n++)
        {
            var block = Values(random, size, scale, shift: 0);
            var codes = new byte[size];
            var held = BlockCoder.Code8(block, codes, x => x);
            Assert.Equal(block.Max(Math.Abs) / 127, held);
            for (var i = 0; i < size; i++)
                Assert.Equal(MathF.Round(block[i] / held, MidpointRounding.ToEven) + 128, codes[i]);
        }
    }

    [Fact]
    public void Blocks_of_zeros_have_scale_one_and_are_zeros()
    {
        var codes = new byte[16];
        Assert.Equal((1f, 8), BlockCoder.Code4(new float[32], [], codes, x => x));
        Assert.All(codes, c => Assert.Equal(0x88, c));
        Assert.Equal(1f, BlockCoder.Code8(new float[16], codes, x => x));
        Assert.All(codes, c => Assert.Equal(128, c));
        Assert.Equal(1f, Fp8Coder.Block(new float[16], codes, x => x));
        Assert.All(codes, c => Assert.Equal(0, c));
    }

    [Fact]
    public void A_float16_scale_of_nothing_leaves_zeros()
    {
        var tiny = new float[32];
        tiny[3] = 1e-9f;
        var codes = new byte[16];
        var (scale, zero) = BlockCoder.Code4(tiny, [], codes, x => (float)(Half)x);
        Assert.Equal(1, scale);
        Assert.All(Enumerable.Range(0, 32), i => Assert.Equal(zero, codes[i / 2] >> i % 2 * 4 & 15));
    }

    public static TheoryData<int, double> Fp8Blocks => new()
    {
        { 1, 1 }, { 15, 1 }, { 16, 1e-20 }, { 32, 1 }, { 32, 1e-33 }, { 32, 1e30 }, { 44, 1 }, { 300, 3 },
    };

    /// <summary>Against all scales in float64, with and without importance; errors are counted in amax / 448, of which float32 resolves 3e-5.</summary>
    [Theory]
    [MemberData(nameof(Fp8Blocks))]
    public void FP8_has_the_scale_of_the_plain_search(int size, double scale)
    {
        var random = new Random(size);
        for (var n = 0; n < 30; n++)
        {
            var block = Values(random, size, scale, shift: 0);
            block[random.Next(size)] *= n % 3 == 0 ? 1e5f : 1; // so that others are less than the least normal code
            float[] importance = [.. block.Select(_ => (float)random.NextDouble())];
            foreach (var counts in new[] { [], importance })
            {
                var held = Fp8Coder.Scale(block, counts, x => x);
                var (found, least) = (PlainCodes.ErrorFp8(block, counts, held), PlainCodes.LeastErrorFp8(block, counts));
                Assert.True(found <= (least * (1 + Tolerances.Search)) + 1e-8, $"{found} against {least}");
                Assert.InRange(held / (block.Max(Math.Abs) / 448), 1 - Tolerances.OneOperator, 2);
            }
            var codes = new byte[size];
            var plain = Fp8Coder.Block(block, codes, x => x);
            for (var i = 0; i < size; i++)
                Assert.Equal(Fp8Coder.Code(block[i] / plain), codes[i]);
        }
    }

    /// <summary>Every code's value gives the code back, and everything else the nearer neighbour, the even one halfway.</summary>
    [Fact]
    public void Codes_of_FP8_are_the_nearest()
    {
        for (var code = 0; code < 127; code++)
        {
            var value = PlainCodes.E4M3((byte)code);
            Assert.Equal(code, Fp8Coder.Code((float)value));
            Assert.Equal(code | 128, Fp8Coder.Code((float)-value));
            if (code == 126)
                continue;
            var middle = (value + PlainCodes.E4M3((byte)(code + 1))) / 2;
            Assert.Equal(code % 2 == 0 ? code : code + 1, Fp8Coder.Code((float)middle));
            Assert.Equal(code, Fp8Coder.Code(MathF.BitDecrement((float)middle)));
            Assert.Equal(code + 1, Fp8Coder.Code(MathF.BitIncrement((float)middle)));
        }
        Assert.Equal(126, Fp8Coder.Code(1e9f));
    }

    private static float[] Values(Random random, int count, double scale, double shift) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)(scale * (shift + random.NextNormal())))];
}
