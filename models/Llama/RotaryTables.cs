using Halo.Ir;
using Halo.Models.HuggingFace;

namespace Halo.Models.Llama;

/// <summary>Cosine and sine of the angles by which rotary embedding turns the channels of a head.</summary>
/// <remarks>
/// angle(t, i) = t * f_i, f_i = theta^(-2i/D) for channel pair i below D/2, D the rotated channels of a head [Su et al. 2021, 3.2.2], f stretched as
/// <see cref="RopeScaling"/> says, and cosine and sine scaled. Rounded to float32 where Transformers rounds: exponent, power, frequency, angle, table.
/// </remarks>
public static class RotaryTables
{
    /// <summary>Two tables (positions, D/2) float32, for sequences of that many tokens.</summary>
    public static (Tensor Cos, Tensor Sin) Of(DecoderConfig config, int positions)
    {
        var frequencies = Frequencies(config, positions);
        var scale = (float)(config.RopeScaling?.AttentionFactor ?? 1);
        var (cos, sin) = (new float[(long)positions * frequencies.Length], new float[(long)positions * frequencies.Length]);
        for (var t = 0; t < positions; t++)
        {
            for (var i = 0; i < frequencies.Length; i++)
            {
                var angle = t * frequencies[i];
                (cos[(t * frequencies.Length) + i], sin[(t * frequencies.Length) + i]) = ((float)Math.Cos(angle) * scale, (float)Math.Sin(angle) * scale);
            }
        }
        long[] sizes = [positions, frequencies.Length];
        return (Tensor.Floats(sizes, cos), Tensor.Floats(sizes, sin));
    }

    /// <summary>f_i, radians per position, for the D/2 pairs of a head's rotated channels.</summary>
    /// <param name="config">The model's.</param>
    /// <param name="sequence">Tokens of the sequence: dynamic and longrope ask; 0 is short.</param>
    public static float[] Frequencies(DecoderConfig config, int sequence = 0)
    {
        var (dim, theta, scaling) = (config.RotaryDim, config.RopeTheta, config.RopeScaling);
        if (scaling is { Type: RopeScaling.Dynamic } dynamic && sequence > config.MaxPositions)
            theta *= Math.Pow((dynamic.Factor * sequence / config.MaxPositions) - (dynamic.Factor - 1), dim / (dim - 2.0));
        var divisors = scaling is not { Type: RopeScaling.LongRope } longRope ? []
            : sequence > longRope.OriginalContext ? longRope.LongFactors : longRope.ShortFactors;
        var kept = scaling is { Type: RopeScaling.Yarn } yarn ? KeptShares(yarn, dim, theta) : [];
        var frequencies = new float[dim / 2];
        for (var i = 0; i < frequencies.Length; i++)
        {
            var power = (float)Math.Pow(theta, 2 * i / (float)dim);
            frequencies[i] = divisors.Count > 0 ? 1 / ((float)divisors[i] * power)
                : kept.Length > 0 ? (1 / ((float)scaling!.Factor * power) * (1 - kept[i])) + (1 / power * kept[i])
                : Stretched(1 / power, scaling);
        }
        return frequencies;
    }

    /// <summary>yarn: how much of each pair's frequency is kept; the rest is divided by the factor. [Transformers, _compute_yarn_parameters]</summary>
    private static float[] KeptShares(RopeScaling yarn, int dim, double theta)
    {
        var (low, high) = (Border(yarn.BetaFast), Border(yarn.BetaSlow));
        if (yarn.IsTruncated)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, dim - 1));
        if (low == high)
            high += 0.001;
        return [.. Enumerable.Range(0, dim / 2).Select(i => 1 - Math.Clamp((i - (float)low) / (float)(high - low), 0, 1))];

        // The number of the pair, not whole, that turns so often in the original context.
        double Border(double turns) => dim * Math.Log(yarn.OriginalContext / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));
    }

    private static float Stretched(float frequency, RopeScaling? scaling)
    {
        if (scaling is null or { Type: RopeScaling.Dynamic })
            return frequency;
        var factor = (float)scaling.Factor;
        if (scaling.Type == RopeScaling.Linear)
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
