using Halo.CustomOps;

namespace Halo.Tests.Runner.Gpu;

/// <summary>A theory that needs a GPU; elsewhere it is skipped and says why. Filter: <c>Category=Gpu</c>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class WithGpuAttribute : TheoryAttribute
{
    public WithGpuAttribute()
    {
        var report = NativeOperators.IsBuilt ? NativeOperators.CudaReport() : [];
        if (report.Count == 0)
            Skip = "needs a GPU: the native library was built without CUDA";
        else if (!report.Any(line => line.What == "GPU 0"))
            Skip = "needs a GPU: " + report.First(line => line.What == "GPU").Found;
    }
}
