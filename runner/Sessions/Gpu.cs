using Halo.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>The first GPU, by the provider HaloCuda of the native library; looked for at first use.</summary>
internal static class Gpu
{
    private const string Provider = "HaloCuda";

    private static readonly Lazy<OrtEpDevice> Found = new(Open);
    private static readonly Lazy<OrtAllocator> Memory = new(() => OrtEnv.Instance().GetSharedAllocator(Device.GetMemoryInfo(OrtDeviceMemoryType.DEFAULT)));

    /// <exception cref="HaloException">The library was built without CUDA, or the machine has no GPU that it can use.</exception>
    public static OrtEpDevice Device => Found.Value;

    /// <summary>Of tensors that stay where they are.</summary>
    public static OrtAllocator Allocator => Memory.Value;

    /// <summary>Bytes of such tensors.</summary>
    public static long HeldBytes;

    public static void Copy(OrtValue from, OrtValue to) => OrtEnv.Instance().CopyTensors([from], [to], null);

    private static OrtEpDevice Open()
    {
        if (!NativeOperators.IsBuilt)
        {
            throw new HaloException("device", "cuda", $"the native library {NativeOperators.LibraryPath}", "no such file",
                "Build without -p:SkipNative=true where nvcc (CUDA 12.8 or 13) is on PATH.");
        }
        var report = NativeOperators.CudaReport();
        if (report.Count == 0)
        {
            throw new HaloException("device", "cuda", "a native library with the GPU provider", "one built without CUDA",
                "Build where nvcc (CUDA 12.8 or 13) is on PATH, or run with --device cpu.");
        }
        OrtEnv.Instance().RegisterExecutionProviderLibrary(Provider, NativeOperators.LibraryPath);
        var device = OrtEnv.Instance().GetEpDevices().FirstOrDefault(d => d.EpName == Provider);
        if (device is not null)
            return device;
        var found = report.Where(line => line.What is "GPU" or "NVIDIA driver").Select(line => $"{line.What}: {line.Found.TrimEnd('.')}");
        throw new HaloException("device", "cuda", "an NVIDIA GPU and its driver", string.Join("; ", found), "See 'halo doctor', or run with --device cpu.");
    }
}
