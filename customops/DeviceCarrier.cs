namespace Halo.CustomOps;

/// <summary>What carries tensors of a GPU between ranks.</summary>
public enum DeviceCarrier
{
    /// <summary>What carries everything else, through memory of the host.</summary>
    Host,

    /// <summary>NCCL, opened at the first collective; also between machines.</summary>
    Nccl,

    /// <summary>Copies into each other's memory, which occupy no multiprocessor: GPUs of one machine that reach each other's memory.</summary>
    Copies,
}
