using Halo.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>The provider HaloCuda of the native library and the GPUs it finds, in the process's ONNX Runtime environment.</summary>
internal static class GpuProvider
{
    private const string Provider = "HaloCuda";

    private static readonly Lazy<IReadOnlyList<OrtEpDevice>> Found = new(Open); // once: the environment takes the library once

    /// <summary>The GPU of this number, from 0.</summary>
    /// <exception cref="HaloException">The library was built without CUDA, or the machine has no such GPU that it can use.</exception>
    public static OrtEpDevice Find(int ordinal) => ordinal < Found.Value.Count ? Found.Value[ordinal]
        : throw new HaloException("device", $"cuda:{ordinal}", $"a GPU from 0 to {Found.Value.Count - 1}, those of this machine", $"{ordinal}",
            "Name one of them.");

    /// <summary>How many there are, one or more.</summary>
    /// <exception cref="HaloException">There is none that can be used.</exception>
    public static int Count => Found.Value.Count;

    private static List<OrtEpDevice> Open()
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
        var devices = OrtEnv.Instance().GetEpDevices().Where(d => d.EpName == Provider).ToList();
        if (devices.Count > 0)
            return devices;
        var found = report.Where(line => line.What is "GPU" or "NVIDIA driver").Select(line => $"{line.What}: {line.Found.TrimEnd('.')}");
        throw new HaloException("device", "cuda", "an NVIDIA GPU and its driver", string.Join("; ", found), "See 'halo doctor', or run with --device cpu.");
    }
}
