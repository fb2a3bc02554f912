using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Which kernels run attention: on the emulated GPU, where plain loops stand for cuDNN if HALO_CUDNN says so.</summary>
[Collection(EmulatedGpuProcesses.Name)]
[Trait("Category", "Slow")]
public sealed class GpuAttentionTests : IDisposable
{
    private const string Name = "llama32-tied";

    private static readonly (string Name, string Value) PlainLoops = ("HALO_CUDNN", "plain loops");

    private readonly EmulatedGpu _gpu;
    private readonly TemporaryFolder _folder = new();

    public GpuAttentionTests(EmulatedGpu gpu) => _gpu = gpu;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Cudnn_takes_the_mask_of_a_batch_and_gives_what_our_kernels_give()
    {
        var step = Step("bf16");
        Assert.Contains("attention by halo's own kernels (attention is set to halo)", Succeed(step, "halo", "halo"), StringComparison.Ordinal);
        Assert.Contains("attention by cuDNN 0", Succeed(step, "cudnn", "cudnn", PlainLoops), StringComparison.Ordinal);
        Assert.Contains("attention by cuDNN 0", Succeed(step, "auto", "auto", PlainLoops), StringComparison.Ordinal);
        GpuSteps.Compare(_folder["cudnn"], ExportFixture.File(Name, "expected.safetensors"), Tolerances.BFloat16Graph);
        GpuSteps.Compare(_folder["halo"], ExportFixture.File(Name, "expected.safetensors"), Tolerances.BFloat16Graph);
        Assert.Equal(File.ReadAllBytes(_folder["cudnn"]), File.ReadAllBytes(_folder["auto"]));
    }

    [Fact]
    public void What_cudnn_cannot_do_is_an_error_where_it_is_asked_for()
    {
        var (step, step32) = (Step("bf16"), Step("fp32"));
        Refused("expected cuDNN, found an emulated GPU", step, "cudnn");
        Refused("expected bfloat16 or float16 for cuDNN's attention, found float", step32, "cudnn", PlainLoops);
        Assert.Contains("attention by halo's own kernels (expected bfloat16 or float16", Succeed(step32, "auto", "auto32", PlainLoops), StringComparison.Ordinal);
        Assert.Contains("attention by halo's own kernels (expected cuDNN, found an emulated GPU", Succeed(step, "auto", "auto"), StringComparison.Ordinal);
        var (exitCode, error) = _gpu.Start([.. step32, "-o", _folder["cpu"], "--attention", "cudnn"]);
        Assert.NotEqual(0, exitCode);
        Assert.Contains("attention: expected auto on the CPU", error, StringComparison.Ordinal);
    }

    /// <summary>Heads that are read where linear layers have them give the same bits as copies of them, by our kernels and by cuDNN.</summary>
    [Theory]
    [InlineData("halo", "bf16")]
    [InlineData("halo", "fp32")]
    [InlineData("cudnn", "bf16")]
    public void Heads_in_place_change_no_bit(string attention, string precision)
    {
        var step = Step(precision);
        HaloProcess.Succeed("rewrite", step[1], "-o", _folder["in-place.onnx"], "--pipeline", "fuse-producers,keep-heads-in-place,remove-dead-code");
        Succeed(step, attention, "copied", PlainLoops);
        Succeed(["step", _folder["in-place.onnx"], .. step[2..]], attention, "in-place", PlainLoops);
        Assert.Equal(File.ReadAllBytes(_folder["copied"]), File.ReadAllBytes(_folder["in-place"]));
        Assert.DoesNotContain("bshd", HaloProcess.Succeed("inspect", step[1], "--text"), StringComparison.Ordinal);
        Assert.Contains("bshd", HaloProcess.Succeed("inspect", _folder["in-place.onnx"], "--text"), StringComparison.Ordinal);
    }

    private string[] Step(string precision)
    {
        var graph = _folder[$"{precision}.onnx"];
        HaloProcess.Succeed("gradient", ExportFixture.File(Name, "logits-dynamo-sdpa-opset23.onnx"), "--weights", ExportFixture.Folder(Name), "-o", graph,
            "--batch", "3", "--sequence", "24", "--precision", precision);
        return ["step", graph, .. GpuSteps.Arguments(Name, "training.onnx")[1..]];
    }

    /// <summary>What it wrote to stderr.</summary>
    private string Succeed(string[] step, string attention, string output, params (string Name, string Value)[] environment)
    {
        var (exitCode, error) = _gpu.Start([.. step, "-o", _folder[output], "--device", "cuda", "--attention", attention], environment);
        Assert.True(exitCode == 0, error);
        return error;
    }

    private void Refused(string expected, string[] step, string attention, params (string Name, string Value)[] environment)
    {
        var (exitCode, error) = _gpu.Start([.. step, "-o", _folder["refused"], "--device", "cuda", "--attention", attention], environment);
        Assert.NotEqual(0, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }
}
