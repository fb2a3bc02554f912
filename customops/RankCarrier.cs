namespace Halo.CustomOps;

/// <summary>What carries tensors of a GPU between ranks.</summary>
public enum RankCarrier
{
    /// <summary>NCCL, opened at the first collective; also between machines.</summary>
    Nccl,

    /// <summary>What carries everything else, through page-locked memory of the host.</summary>
    Host,

    /// <summary>Copies into each other's memory, which occupy no multiprocessor: GPUs of one machine that reach each other's memory.</summary>
    Copies,
}
