namespace Halo.Tests.Runner.Gpu;

/// <summary>Whose provider runs on a GPU. ONNX Runtime's own needs its GPU build and a GPU; that it is asked for where it is not is told here.</summary>
[Collection(EmulatedGpuProcesses.Name)]
public sealed class GpuProviderTests(EmulatedGpu gpu) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_runtime_without_CUDA_is_named()
    {
        var (exitCode, error) = gpu.Start(["step", .. GpuSteps.Arguments("llama32-tied", "training.onnx"), "-o", _folder["a"], "--device", "cuda",
            "--provider", "onnxruntime"]);
        Assert.Equal(2, exitCode);
        Assert.Contains("session: provider: expected ONNX Runtime's GPU build", error, StringComparison.Ordinal);
        Assert.Contains("HALO_ONNXRUNTIME", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_CPU_has_no_such_provider()
    {
        var (exitCode, _, error) = HaloConsole.Run(["step", .. GpuSteps.Arguments("llama32-tied", "training.onnx"), "-o", _folder["a"], "--provider", "onnxruntime"]);
        Assert.Equal(2, exitCode);
        Assert.Contains("session: provider: expected a GPU for ONNX Runtime's CUDA provider, found the CPU.", error, StringComparison.Ordinal);
    }
}
