namespace Halo.Passes.Sharding;

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
