namespace Halo.Runner.Training.Metrics;

/// <summary>A row of metrics as the line that people read.</summary>
internal static class ProgressLine
{
    /// <summary>
    /// <c>step 12/100 | loss 2.7175 | norm 1.03 | lr 3.0e-05 | 312 ms | 41200 tok/s | 331 TFLOP/s, 33 % of bf16, 17 % of fp8 | 1m20s left</c>, without what the
    /// row lacks.
    /// </summary>
    /// <param name="row">A row of either kind.</param>
    /// <param name="totalSteps">Updates of the run.</param>
    /// <param name="left">Time to go, or null where it is not known.</param>
    public static string Format(MetricsRow row, int totalSteps, TimeSpan? left = null)
    {
        var parts = new List<string> { $"step {row.Step}/{totalSteps}", $"{(row.Kind == MetricsKind.Eval ? "valid loss" : "loss")} {row.Loss:F4}" };
        if (row.Kind == MetricsKind.Eval) parts.Add($"perplexity {Math.Exp(row.Loss):G4}");
        if (row.GradientNorm is { } norm) parts.Add($"norm {(norm is >= 0.01 and < 10000 or 0 ? norm.ToString("F2") : norm.ToString("0.0e+00"))}");
        if (row.LearningRate is { } rate) parts.Add($"lr {rate:0.0e+00}");
        if (row.Milliseconds is { } ms) parts.Add(ms < 10_000 ? $"{ms:F0} ms" : $"{ms / 1000:F1} s");
        if (row.TokensPerSecond is { } speed) parts.Add($"{speed:F0} tok/s");
        if (row.Tflops is { } tflops) parts.Add(Rate(tflops, row.Bf16Share, row.Fp8Share));
        if (left is { } time) parts.Add($"{Duration(time)} left");
        return string.Join(" | ", parts);
    }

    /// <summary><c>331 TFLOP/s, 33 % of bf16, 17 % of fp8</c>, or <c>144 GFLOP/s</c>: the rate of products, and its shares of a GPU's peaks where they are known.</summary>
    public static string Rate(double tflops, double? bfloat16Share, double? fp8Share)
    {
        var rate = tflops >= 1 ? $"{tflops:F0} TFLOP/s" : $"{tflops * 1000:F0} GFLOP/s";
        return bfloat16Share is { } bfloat16 && fp8Share is { } fp8 ? $"{rate}, {bfloat16 * 100:F0} % of bf16, {fp8 * 100:F0} % of fp8" : rate;
    }

    /// <summary><c>8s</c>, <c>1m20s</c>, <c>2h05m</c>, <c>3d04h</c>: the two largest units.</summary>
    public static string Duration(TimeSpan time)
    {
        var t = TimeSpan.FromSeconds(Math.Max(0, Math.Round(time.TotalSeconds)));
        if (t.TotalDays >= 1) return $"{(int)t.TotalDays}d{t.Hours:D2}h";
        if (t.TotalHours >= 1) return $"{t.Hours}h{t.Minutes:D2}m";
        return t.TotalMinutes >= 1 ? $"{t.Minutes}m{t.Seconds:D2}s" : $"{t.Seconds}s";
    }
}
