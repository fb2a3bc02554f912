using Halo.CustomOps;

namespace Halo.Runner.Sessions;

/// <summary>Whose kernels ran attention on the GPU: what <see cref="AttentionKernels"/> came to.</summary>
internal static class AttentionUse
{
    /// <summary>A line for the log of a run; null where no attention ran since the last call, or a recording of it alone.</summary>
    public static string? Take()
    {
        var kernels = NativeOperators.CudaAttention();
        if (kernels.Count == 0)
            return null;
        var by = kernels.Select(k => k[0] == "cudnn" ? $"cuDNN {k[2]}" : $"halo's own kernels ({k[2].TrimEnd('.')})");
        return $"attention by {string.Join(", and by ", by)}";
    }
}
