namespace Halo.CustomOps.Cases;

/// <summary>The numbers of a format, written out one by one; rounding is a search for the nearest. Slow and plainly right.</summary>
public sealed class CodeTable
{
    private CodeTable(IEnumerable<(double Value, int Code)> entries) =>
        Entries = [.. entries.OrderBy(e => e.Value)];

    /// <summary>All finite values with their bit patterns, ascending; zero once.</summary>
    public (double Value, int Code)[] Entries { get; }

    public static CodeTable Of(NumberFormat format) => format.Name switch
    {
        "e4m3" => new(Minifloat(exponentBits: 4, mantissaBits: 3, largest: 448)),
        "e5m2" => new(Minifloat(exponentBits: 5, mantissaBits: 2, largest: 57344)),
        "e3m2" => new(Minifloat(exponentBits: 3, mantissaBits: 2, largest: 28)),
        "int8" => new(Enumerable.Range(-127, 255).Select(i => ((double)i, i))),
        _ => throw new ArgumentOutOfRangeException(nameof(format)),
    };

    /// <summary>The nearest value; of two as near, the one whose bit pattern is even. Beyond the largest it is the largest.</summary>
    public double Round(double x)
    {
        var best = Entries[0];
        foreach (var entry in Entries)
        {
            var (distance, least) = (Math.Abs(entry.Value - x), Math.Abs(best.Value - x));
            if (distance < least || (distance == least && entry.Code % 2 == 0))
                best = entry;
        }
        return best.Value;
    }

    /// <summary>The codes' values and the scale of a whole tensor: all in float32, as the operator promises.</summary>
    public static (double[] Values, float Scale) Quantize(NumberFormat format, float[] x)
    {
        var table = Of(format);
        var scale = x.Max(Math.Abs) / format.QMax;
        if (scale < 1.17549435e-38f)
            scale = 1;
        return ([.. x.Select(v => table.Round(v / scale))], scale);
    }

    private static IEnumerable<(double Value, int Code)> Minifloat(int exponentBits, int mantissaBits, double largest)
    {
        var bias = (1 << (exponentBits - 1)) - 1;
        for (var code = 0; code < 1 << (exponentBits + mantissaBits); code++)
        {
            var (exponent, fraction) = (code >> mantissaBits, (code & ((1 << mantissaBits) - 1)) / (double)(1 << mantissaBits));
            var value = exponent == 0 ? fraction * Math.Pow(2, 1 - bias) : (1 + fraction) * Math.Pow(2, exponent - bias);
            if (value > largest) // Inf and NaN of E5M2, NaN of E4M3
                continue;
            yield return (value, code);
            if (code > 0)
                yield return (-value, code);
        }
    }
}
