namespace Halo.Training;

/// <summary>The form of the learning rate over a run.</summary>
public enum ScheduleKind
{
    Linear,
    Cosine,
    Constant,

    /// <summary>Warm-up, stable, decay.</summary>
    Wsd,
}
