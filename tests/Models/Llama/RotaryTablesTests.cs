using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Tests.Numerics;

namespace Halo.Tests.Models.Llama;

public class RotaryTablesTests
{
    /// <summary>Power, frequency and angle are rounded: three times 2^-24 of an angle of up to 1000.</summary>
    [Fact]
    public void Tables_are_those_of_float64_up_to_the_rounding_of_angles()
    {
        var config = DecoderConfig.Load(LlamaTiny.Folder);
        var (cos, sin) = RotaryTables.Of(config, 1000);
        Assert.Equal([1000, 32, 1000, 32], [.. cos.Sizes, .. sin.Sizes]);
        var (c, s) = (cos.ToArray<float>(), sin.ToArray<float>());
        for (var n = 0; n < c.Length; n++)
        {
            var angle = n / 32 * Math.Pow(500000, -2.0 * (n % 32) / 64);
            Assert.Equal(Math.Cos(angle), c[n], Tolerances.RotaryAngle);
            Assert.Equal(Math.Sin(angle), s[n], Tolerances.RotaryAngle);
        }
    }

    /// <summary>The published numbers of Llama 3.1: wavelengths above 8192 divided by 8, below 2048 kept. [Llama 3.1 config.json]</summary>
    [Fact]
    public void The_stretch_of_llama3_keeps_short_waves_divides_long_ones_and_blends_between()
    {
        var plain = DecoderConfig.Load(LlamaTiny.Folder) with { HeadDim = 128 };
        var stretched = plain with { RopeScaling = new RopeScaling("llama3", 8, 1, 4, 8192) };
        foreach (var (before, after) in RotaryTables.Frequencies(plain).Zip(RotaryTables.Frequencies(stretched)))
        {
            var wavelength = 2 * Math.PI / before;
            var share = Math.Clamp(((8192 / wavelength) - 1) / 3, 0, 1); // of the unstretched frequency
            Assert.Equal(before * (share + ((1 - share) / 8)), after, Tolerances.OneOperator * before);
        }
    }
}
