using Halo.Models.Bundled;
using Halo.Tests.Runner.Generation;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Generation on the emulated GPU, where caches stay from run to run.</summary>
[Collection(EmulatedGpuProcesses.Name)]
[Trait("Category", "Slow")]
public sealed class GpuGenerationTests(EmulatedGpu gpu)
{
    private static readonly string[] Generate =
        ["generate", InferenceFixture.Folder, "--prompt", "def main(", "--prompt", "import numpy as np\nimport os\n", "--max-tokens", "6"];

    [Theory]
    [InlineData]
    [InlineData("--no-cache")]
    public void Rows_of_different_lengths_get_the_tokens_of_the_CPU(params string[] more) =>
        Assert.Equal(HaloConsole.Succeed(Generate), gpu.Succeed([.. Generate, .. more, "--device", "cuda"]));

    /// <summary>The emulated GPU refuses what no recording can hold, such as a copy from the host.</summary>
    [Fact]
    public void Recorded_steps_give_the_tokens_of_the_CPU() =>
        Assert.Equal(HaloConsole.Succeed(Generate), gpu.SucceedRecording([.. Generate, "--device", "cuda"]));

    /// <summary>The random numbers are the same; logits of float32 are near enough that they choose alike.</summary>
    [Theory]
    [InlineData("--temperature", "0.8", "--seed", "7")]
    [InlineData("--temperature", "1.2", "--top-k", "40", "--top-p", "0.9", "--seed", "12")]
    public void Drawn_tokens_are_those_of_the_CPU(params string[] drawn)
    {
        var text = HaloConsole.Succeed([.. Generate, .. drawn]);
        Assert.NotEqual(HaloConsole.Succeed(Generate), text);
        Assert.Equal(text, gpu.SucceedRecording([.. Generate, .. drawn, "--device", "cuda"]));
    }

    /// <summary>Products of query, key and value, and of gate and up, are joined there; rows end at different steps.</summary>
    [Fact]
    public void Steps_with_packed_weights_give_the_tokens_of_the_CPU()
    {
        using var folder = new TemporaryFolder();
        HaloConsole.Succeed(["export", LlamaTiny.Folder, "-o", folder["int4"], "--weights", "int4", "--prompts", "0"]);
        string[] generate = ["generate", folder["int4"], "--prompt", "def main(", "--prompt", "import numpy as np\nimport os\n", "--max-tokens", "6"];
        Assert.Equal(HaloConsole.Succeed(generate), gpu.SucceedRecording([.. generate, "--device", "cuda"]));
    }

    /// <summary>Its attention over caches is for 16 bits: a node of the graph would run on the CPU.</summary>
    [Fact]
    public void ONNX_Runtimes_provider_takes_no_graph_of_float32()
    {
        var (exitCode, error) = gpu.Start([.. Generate, "--device", "cuda", "--provider", "onnxruntime"]);
        Assert.Equal(2, exitCode);
        Assert.Contains("expected a graph of float16 for ONNX Runtime's provider", error, StringComparison.Ordinal);
        Assert.Contains("--activations fp16", error, StringComparison.Ordinal);
    }

    /// <summary>Six tokens: one of the prompt, five steps, of which the first is launched and recorded.</summary>
    [Theory]
    [InlineData("0", "steps: 4 replayed from a recording; 2 runs launched node by node")]
    [InlineData("1", "steps: 6 runs launched node by node, as HALO_CUDA_SYNC=1 waits after each node")]
    [InlineData("0", "steps: launched node by node, as without a cache all tokens run again", "--no-cache")]
    public void The_log_says_whether_steps_are_replayed_and_why_not(string waits, string expected, params string[] more)
    {
        var (exitCode, error) = gpu.Start([.. Generate, .. more, "--device", "cuda"], ("HALO_CUDA_SYNC", waits));
        Assert.Equal(0, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }
}
