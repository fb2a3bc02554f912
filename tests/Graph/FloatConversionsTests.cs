using System.Runtime.InteropServices;
using CsCheck;
using Halo.Ir;

namespace Halo.Tests.Ir;

public class FloatConversionsTests
{
    private static readonly ushort[] AllBits = [.. Enumerable.Range(0, 65536).Select(bits => (ushort)bits)];

    [Fact]
    public void All_bfloat16_patterns_survive_the_round_trip()
    {
        var (floats, back) = (new float[65536], new ushort[65536]);
        FloatConversions.FromBFloat16(AllBits, floats);
        FloatConversions.ToBFloat16(floats, back);
        for (var i = 0; i < 65536; i++)
        {
            Assert.Equal(BitConverter.SingleToUInt32Bits(FloatConversions.FromBFloat16((ushort)i)), BitConverter.SingleToUInt32Bits(floats[i]));
            Assert.Equal(float.IsNaN(floats[i]) ? i | 0x40 : i, back[i]);
        }
    }

    [Fact]
    public void All_float16_patterns_survive_the_round_trip()
    {
        var (floats, back) = (new float[65536], new ushort[65536]);
        FloatConversions.ToFloat(ElementType.Float16, MemoryMarshal.AsBytes<ushort>(AllBits), floats);
        FloatConversions.FromFloat(ElementType.Float16, floats, MemoryMarshal.AsBytes(back.AsSpan()));
        for (var i = 0; i < 65536; i++)
        {
            Assert.Equal((float)BitConverter.UInt16BitsToHalf((ushort)i), floats[i]);
            if (!float.IsNaN(floats[i])) Assert.Equal(i, back[i]);
            else Assert.True(Half.IsNaN(BitConverter.UInt16BitsToHalf(back[i])));
        }
    }

    [Fact]
    public void Vectors_round_as_single_values_do() => Gen.UInt.Array[0, 70].Sample(bits =>
    {
        var floats = MemoryMarshal.Cast<uint, float>(bits).ToArray();
        var rounded = new ushort[floats.Length];
        FloatConversions.ToBFloat16(floats, rounded);
        return rounded.SequenceEqual(floats.Select(FloatConversions.ToBFloat16));
    }, iter: 2000, seed: "0000KOIPSNy1");

    [Fact]
    public void Rounding_goes_to_the_nearest_even() => Gen.UInt.Sample(bits =>
    {
        var value = BitConverter.UInt32BitsToSingle(bits);
        if (float.IsNaN(value)) return float.IsNaN(FloatConversions.FromBFloat16(FloatConversions.ToBFloat16(value)));
        var (below, above) = ((ushort)(bits >> 16), (ushort)((bits >> 16) + 1)); // by magnitude; beyond the largest is infinity's place, 2^128
        double Exact(ushort half) => float.IsInfinity(FloatConversions.FromBFloat16(half)) ? Math.CopySign(Math.Pow(2, 128), value)
            : FloatConversions.FromBFloat16(half);
        if (float.IsInfinity(value)) return FloatConversions.ToBFloat16(value) == below;
        var (down, up) = (Math.Abs(value - Exact(below)), Math.Abs(Exact(above) - value));
        return FloatConversions.ToBFloat16(value) == (down < up || (down == up && below % 2 == 0) ? below : above);
    }, iter: 20000, seed: "0000KOIPSNy1");
}
