namespace Halo.Runner.Training.Schedules;

/// <summary>The learning rate of each update, as data.</summary>
/// <remarks>
/// For update k = 0..N-1 of N, warm-up W, floor r = MinRatio, D = ceil(DecayFraction * N):
///   lr_k = Peak * w_k * d_k,  w_k = min(1, (k + 1) / W), 1 if W = 0
///   linear:   d_k = r + (1 - r) (1 - k / N)
///   cosine:   d_k = r + (1 - r) (1 + cos(pi k / N)) / 2
///   constant: d_k = 1
///   wsd:      d_k = 1 before k = N - D, then r + (1 - r) (N - k) / D
/// The warm-up multiplies the decay, which runs from update 0. From k = N on the rate stays at k = N.
/// </remarks>
/// <param name="Kind">The form of d_k.</param>
/// <param name="Peak">The rate where both factors are 1; positive.</param>
/// <param name="WarmupSteps">W, in updates.</param>
/// <param name="TotalSteps">N, in updates.</param>
/// <param name="MinRatio">r, the share of the peak that the decay ends at, in [0, 1]. Constant has none.</param>
/// <param name="DecayFraction">The share of N in which wsd decays, in (0, 1].</param>
internal sealed record LearningRateSchedule(
    ScheduleKind Kind, double Peak, int WarmupSteps, int TotalSteps, double MinRatio = 0, double DecayFraction = LearningRateSchedule.DefaultDecayFraction)
{
    /// <summary>A tenth of the updates, as in the work that names the schedule. [MiniCPM]</summary>
    public const double DefaultDecayFraction = 0.1;

    public int TotalSteps { get; } = TotalSteps >= 1
        ? TotalSteps
        : throw new HaloException("schedule", "steps", "at least one update", $"{TotalSteps}", "Raise steps or epochs, or give more data.");

    public int WarmupSteps { get; } = WarmupSteps >= 0 && WarmupSteps <= TotalSteps
        ? WarmupSteps
        : throw new HaloException("schedule", "warmup_steps", $"from 0 to the {TotalSteps} updates of the run", $"{WarmupSteps}", "Lower warmup_steps.");

    /// <summary>The rate of update <paramref name="step"/>, counted from 0.</summary>
    public double At(int step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        var warm = step + 1 < WarmupSteps ? (step + 1) / (double)WarmupSteps : 1;
        return Peak * warm * Decay(Math.Min(step, TotalSteps));
    }

    private double Decay(int k) => Kind switch
    {
        ScheduleKind.Linear => MinRatio + (1 - MinRatio) * (1 - k / (double)TotalSteps),
        ScheduleKind.Cosine => MinRatio + (1 - MinRatio) * (1 + Math.Cos(Math.PI * k / TotalSteps)) / 2,
        ScheduleKind.Constant => 1,
        ScheduleKind.Wsd when k <= TotalSteps - DecaySteps => 1,
        ScheduleKind.Wsd => MinRatio + (1 - MinRatio) * (TotalSteps - k) / DecaySteps,
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    private int DecaySteps => (int)Math.Ceiling(DecayFraction * TotalSteps);
}
