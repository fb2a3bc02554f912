namespace Halo.Tests.Passes.Weights;

/// <summary>The slow counterparts of the coders: one value at a time, in float64, after the definition.</summary>
internal static class PlainCodes
{
    /// <summary>Squared error of the search of BlockCoder: of each span, the scale refitted to its codes; the refit that explains most of the block.</summary>
    public static double Error4(float[] block, float[] importance)
    {
        double Counts(int i) => importance.Length == 0 ? 1 : importance[i];
        var (low, high) = (Math.Min(0, block.Min()), Math.Max(0, block.Max()));
        var zero = Math.Clamp(Math.Round(-15.0 * low / (high - low)), 0, 15);
        var (most, best) = (-1.0, 0.0);
        foreach (var span in new[] { 1, 0.93, 0.86, 0.8 })
        {
            var steps = block.Select(w => Nearest(w / (span * (high - low) / 15), -zero, 15 - zero)).ToArray();
            var (dot, norm) = (block.Zip(steps, (w, t) => w * t).Select((p, i) => p * Counts(i)).Sum(), steps.Select((t, i) => t * t * Counts(i)).Sum());
            if (dot * dot / norm > most)
                (most, best) = (dot * dot / norm, dot / norm);
        }
        return block.Select((w, i) => Counts(i) * Math.Pow(w - best * Nearest(w / best, -zero, 15 - zero), 2)).Sum();
    }

    public static double Nearest(double x, double least, double most) => Math.Round(Math.Clamp(x, least, most), MidpointRounding.ToEven);

    /// <summary>The value of an E4M3 code. [OCP 8-bit floating point, 2023]</summary>
    public static double E4M3(byte code)
    {
        var (exponent, fraction) = (code >> 3 & 15, code & 7);
        var size = (code & 0x7F) == 0x7F ? double.NaN : exponent == 0 ? fraction / 512.0 : Math.ScaleB(1 + fraction / 8.0, exponent - 7);
        return code >= 128 ? -size : size;
    }

    /// <summary>Squared error of a block in E4M3 with this scale, each value to the nearest of all codes.</summary>
    public static double ErrorFp8(float[] block, float[] importance, double scale)
    {
        var unit = block.Max(w => Math.Abs((double)w)) / 448;
        var values = Enumerable.Range(0, 127).Select(code => E4M3((byte)code) * scale / unit).ToArray();
        var error = 0.0;
        for (var i = 0; i < block.Length; i++)
        {
            var least = values.Min(v => Math.Abs(Math.Abs(block[i] / unit) - v));
            error += (importance.Length == 0 ? 1 : importance[i]) * least * least;
        }
        return error;
    }

    /// <summary>The least of 16 scales from amax / 448 to twice that.</summary>
    public static double LeastErrorFp8(float[] block, float[] importance) =>
        Enumerable.Range(0, 16).Min(i => ErrorFp8(block, importance, block.Max(w => Math.Abs((double)w)) / 448 * Math.Pow(2, i / 16.0)));
}
