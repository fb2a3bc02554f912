using System.Globalization;
using System.Text.RegularExpressions;
using Halo.CustomOps;
using Halo.Passes.Infra;
using Halo.Tests.Runner.Gpu;

namespace Halo.Tests.Runner.Memory;

/// <summary>What is planned against what the GPU provider's allocator gave out, on a GPU that the CPU emulates.</summary>
[Collection(EmulatedGpuProcesses.Name)]
[Trait("Category", "Slow")]
public sealed partial class PlannedMemoryTests(EmulatedGpu gpu) : IDisposable
{
    private const string Recomputed = Pipelines.Cleanup + "," + Pipelines.Rederive + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu
        + ",recompute{by=feed-forward weights=true},order-nodes";

    private const string Coded = Pipelines.Cleanup + "," + Pipelines.Rederive + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu
        + ",save-codes{of=all},order-nodes";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("llama2-mha", "training.onnx", "")]
    [InlineData("llama32-tied", "training-bf16.onnx", "")]
    [InlineData("llama3-gqa", "training.onnx", "--scheme halo-0 --format fp8")]
    [InlineData("llama2-mha", "training.onnx", "--scheme halo-2 --format int8")]
    [InlineData("llama32-tied", "training.onnx", "--pipeline upgrade-opset,rederive-gradient,recompute")]
    public void Of_an_exported_step_is_what_is_taken(string name, string file, string rewrite)
    {
        if (rewrite.Length > 0)
            HaloConsole.Succeed(["rewrite", ExportFixture.File(name, file), "-o", _folder["r.onnx"], .. Words(rewrite)]);
        string[] step = [rewrite.Length > 0 ? _folder["r.onnx"] : ExportFixture.File(name, file), .. GpuSteps.Arguments(name, file)[1..], "-o", _folder["out"]];
        Compare(gpu.Start(["step", .. step, "--device", "cuda"]).Error);
    }

    /// <summary>With moments and the optimizer.</summary>
    [Theory]
    [InlineData("--scheme halo-0 --format fp8")]
    [InlineData("--pipeline " + Recomputed)]
    [InlineData("--pipeline " + Coded)]
    public void Of_an_update_is_what_is_taken(string rewrite)
    {
        const string Name = "llama2-mha";
        HaloConsole.Succeed(["rewrite", ExportFixture.File(Name, "training.onnx"), "-o", _folder["r.onnx"], .. Words(rewrite)]);
        Compare(gpu.Start(["step", _folder["r.onnx"], .. GpuSteps.Arguments(Name, "training.onnx")[1..], "-o", _folder["out"], "--steps", "2", "--device", "cuda"])
            .Error);
    }

    /// <summary>Options, of whose texts a pipeline has spaces.</summary>
    private static string[] Words(string text) => text.StartsWith("--pipeline", StringComparison.Ordinal) ? text.Split(' ', 2) : text.Split(' ');

    private static void Compare(string error)
    {
        var found = Line().Match(error);
        Assert.True(found.Success, error);
        var (planned, measured) = (Number(found.Groups[1]), Number(found.Groups[2]));
        // Small graphs: the work memory of products would hide all else.
        Assert.InRange((double)(planned - GpuKernelMemory.ProductBytes) / (measured - GpuKernelMemory.ProductBytes), 0.97, 1.03);

        static long Number(Group group) => long.Parse(group.Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex("memory: ([0-9,]+) bytes planned, ([0-9,]+) in use at the most")]
    private static partial Regex Line();
}
