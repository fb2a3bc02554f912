using Halo.Tests.Runner.Generation;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Generation on the emulated GPU, where caches stay from run to run.</summary>
[Collection(nameof(EmulatedGpu))]
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
}
