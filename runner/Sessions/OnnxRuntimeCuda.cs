using System.Globalization;
using Halo.CustomOps;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Runner.Sessions;

/// <summary>ONNX Runtime's own CUDA provider in a session's options.</summary>
internal static class OnnxRuntimeCuda
{
    /// <summary>What its tensors are bound by.</summary>
    public static OrtMemoryInfo Memory(int ordinal) => new(OrtMemoryInfo.allocatorCUDA, OrtAllocatorType.DeviceAllocator, ordinal, OrtMemType.Default);

    /// <exception cref="HaloException">The loaded ONNX Runtime is not its GPU build, or cannot load what that needs.</exception>
    public static void Append(SessionOptions options, int ordinal, bool replays, bool allowsHostNodes)
    {
        OrtEnv.Instance().EnvLogLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR; // its kernels warn by the environment's logger, not by the session's
        try
        {
            var stream = NativeOperators.CudaStream(ordinal);
            using var cuda = new OrtCUDAProviderOptions();
            cuda.UpdateOptions(new Dictionary<string, string>
            {
                ["device_id"] = ordinal.ToString(CultureInfo.InvariantCulture),
                ["use_tf32"] = "0", // float32 is float32
                ["arena_extend_strategy"] = "kSameAsRequested",
                ["enable_cuda_graph"] = replays ? "1" : "0",
                ["has_user_compute_stream"] = stream != 0 ? "1" : "0",
                ["user_compute_stream"] = $"{stream}", // tensors are written and read in its order; another stream would not wait for them
            });
            options.AppendExecutionProvider_CUDA(cuda);
        }
        catch (OnnxRuntimeException e)
        {
            throw new HaloException("session", "provider", "ONNX Runtime's GPU build (Microsoft.ML.OnnxRuntime.Gpu.Linux) and the libraries of CUDA 13 that it "
                + "needs", e.Message.Split('\n')[0].TrimEnd('.'),
                "Name its libonnxruntime.so by HALO_ONNXRUNTIME and the folders of CUDA's libraries by LD_LIBRARY_PATH, or run with --provider halo.", e);
        }
        if (!allowsHostNodes)
            options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1");
    }
}
