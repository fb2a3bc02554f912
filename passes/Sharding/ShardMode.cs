namespace Halo.Passes.Sharding;

/// <summary>What gradients are sent as.</summary>
public enum SentGradients
{
    /// <summary>In their own type.</summary>
    Whole,

    /// <summary>Rotated, in INT8 under a scale for each 64 elements.</summary>
    Int8,

    /// <summary>The same in FP8 (E4M3).</summary>
    Fp8,
}

/// <summary>What is split over ranks.</summary>
public enum ShardMode
{
    /// <summary>Nothing: every rank holds all, gradients are summed.</summary>
    None,

    /// <summary>Gradients and the optimizer's state; parameters are whole on every rank.</summary>
    State,

    /// <summary>Parameters, gradients and state.</summary>
    Full,

    /// <summary>The same over the ranks of a node; nodes hold the same, and sum their gradients.</summary>
    Hybrid,
}
