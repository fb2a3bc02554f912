using Halo.CustomOps;

namespace Halo.Runner.Sessions;

/// <summary>What a GPU's allocator gave out.</summary>
/// <param name="InUse">Bytes now.</param>
/// <param name="Peak">Bytes at the most since it was last asked.</param>
/// <param name="Reserved">Bytes that the driver gave it: what tools of the system see, besides what the driver takes for itself.</param>
internal sealed record DeviceMemory(long InUse, long Peak, long Reserved)
{
    /// <summary>The peak begins anew. Null on the CPU, and where the GPU was not used.</summary>
    public static DeviceMemory? Take(Device device) => !device.IsGpu ? null : NativeOperators.CudaMemory().Where(m => m.Ordinal == device.Ordinal)
        .Select(m => new DeviceMemory(m.InUse, m.Peak, m.Reserved)).FirstOrDefault();
}
