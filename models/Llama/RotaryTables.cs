using Halo.Ir;
using Halo.Models.HuggingFace;

namespace Halo.Models.Llama;

/// <summary>Cosine and sine of the angles by which rotary embedding turns the channels of a head.</summary>
/// <remarks>
/// angle(t, i) = t * f_i, f_i = theta^(-2i/D) for channel pair i below D/2 [Su et al. 2021, 3.2.2], f stretched as <see cref="RopeScaling"/> says. Rounded to
/// float32 where Transformers rounds: exponent, power, frequency, angle, table.
/// </remarks>
public static class RotaryTables
{
    /// <summary>Two tables (positions, D/2) float32.</summary>
    public static (Tensor Cos, Tensor Sin) Of(DecoderConfig config, int positions)
    {
        var frequencies = Frequencies(config);
        var (cos, sin) = (new float[(long)positions * frequencies.Length], new float[(long)positions * frequencies.Length]);
        for (var t = 0; t < positions; t++)
        {
            for (var i = 0; i < frequencies.Length; i++)
            {
                var angle = t * frequencies[i];
                (cos[(t * frequencies.Length) + i], sin[(t * frequencies.Length) + i]) = ((float)Math.Cos(angle), (float)Math.Sin(angle));
            }
        }
        long[] sizes = [positions, frequencies.Length];
        return (Tensor.Floats(sizes, cos), Tensor.Floats(sizes, sin));
    }

    /// <summary>f_i, radians per position, for the D/2 pairs of a head's channels.</summary>
    public static float[] Frequencies(DecoderConfig config)
    {
        var frequencies = new float[config.HeadDim / 2];
        for (var i = 0; i < frequencies.Length; i++)
            frequencies[i] = Stretched(1 / (float)Math.Pow(config.RopeTheta, 2 * i / (float)config.HeadDim), config.RopeScaling);
        return frequencies;
    }

    private static float Stretched(float frequency, RopeScaling? scaling)
    {
        if (scaling is null)
            return frequency;
        var factor = (float)scaling.Factor;
        if (scaling.Type == "linear")
            return frequency / factor;
        var wavelength = (float)(2 * Math.PI) / frequency;
        if (wavelength > scaling.OriginalContext / scaling.LowFrequencyFactor)
            return frequency / factor;
        if (wavelength < scaling.OriginalContext / scaling.HighFrequencyFactor)
            return frequency;
        var smooth = ((scaling.OriginalContext / wavelength) - (float)scaling.LowFrequencyFactor)
            / (float)(scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
        return ((1 - smooth) * frequency / factor) + (smooth * frequency);
    }
}
