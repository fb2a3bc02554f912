namespace Halo.Runner.Training.Reports;

/// <summary>The ends and ticks of an axis.</summary>
/// <param name="Low">Value at the lower end.</param>
/// <param name="High">Value at the upper end; above Low.</param>
/// <param name="Values">Ticks, rising, within the ends.</param>
/// <param name="Log">Positions go by the logarithm; both ends are positive.</param>
internal sealed record AxisTicks(double Low, double High, IReadOnlyList<double> Values, bool Log)
{
    /// <summary>Ticks at 1, 2 or 5 times a power of ten, at most about <paramref name="count"/>; the ends are on ticks, or the data's if tight.</summary>
    public static AxisTicks Linear(double low, double high, int count, bool tight = false, double leastStep = 0)
    {
        if (high <= low) (low, high) = low == 0 ? (0, 1) : (low - Math.Abs(low) / 2, low + Math.Abs(low) / 2);
        var step = Math.Max(Step((high - low) / count), leastStep);
        double from = tight ? Math.Ceiling(low / step - 1e-9) : Math.Floor(low / step + 1e-9), to = tight ? Math.Floor(high / step + 1e-9)
            : Math.Ceiling(high / step - 1e-9);
        var values = Enumerable.Range(0, (int)(to - from) + 1).Select(i => (from + i) * step).ToArray();
        return tight ? new(low, high, values, Log: false) : new(from * step, to * step, values, Log: false);
    }

    /// <summary>Ticks at powers of ten; at 1, 2 and 5 times them below a span of 300; every second, third, ... where more than eight.</summary>
    public static AxisTicks Logarithmic(double low, double high)
    {
        int from = (int)Math.Floor(Math.Log10(low)), to = (int)Math.Ceiling(Math.Log10(high));
        double[] within = high / low < 300 ? [1, 2, 5] : [1];
        var every = Math.Max(1, (to - from + 7) / 8);
        var all = Enumerable.Range(0, to - from + 1).Where(i => i % every == 0).SelectMany(i => within.Select(m => m * Math.Pow(10, from + i))).ToArray();
        var start = all.LastOrDefault(v => v <= low * (1 + 1e-9), all[0]);
        var end = all.FirstOrDefault(v => v >= high * (1 - 1e-9), high);
        return new(start, end > start ? end : start * 10, all.Where(v => v >= start && v <= end).ToArray(), Log: true);
    }

    /// <summary>Where a value lies: 0 at the lower end, 1 at the upper.</summary>
    public double Place(double value) => Log ? Math.Log(value / Low) / Math.Log(High / Low) : (value - Low) / (High - Low);

    /// <summary>A tick's text: no more digits than its neighbours need, k and M from 10 000 on, exponents below 1/1000.</summary>
    public string Label(double value)
    {
        var largest = Math.Max(Math.Abs(Values.Count > 0 ? Values[^1] : High), Math.Abs(Low));
        if (value == 0) return "0";
        if (Log) return value is >= 0.001 and < 10_000 ? value.ToString("0.###") : value.ToString("0e0");
        var step = Values.Count > 1 ? Values[1] - Values[0] : Math.Abs(value);
        if (largest >= 1e6) return Fixed(value / 1e6, step / 1e6) + "M";
        if (largest >= 1e4) return Fixed(value / 1e3, step / 1e3) + "k";
        return largest < 1e-2 ? value.ToString("0.##e0") : Fixed(value, step);
    }

    private static string Fixed(double value, double step) => value.ToString("F" + Math.Clamp((int)Math.Ceiling(-Math.Log10(step) - 1e-9), 0, 6));

    private static double Step(double least)
    {
        var power = Math.Pow(10, Math.Floor(Math.Log10(least)));
        return power * (least / power) switch { <= 1 + 1e-9 => 1, <= 2 + 1e-9 => 2, <= 5 + 1e-9 => 5, _ => 10 };
    }
}
