using Halo.Tests.Runner.Generation;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Generation on the emulated GPU, where caches stay from run to run.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class GpuGenerationTests(EmulatedGpu gpu)
{
    [Theory]
    [InlineData]
    [InlineData("--no-cache")]
    public void Rows_of_different_lengths_get_the_tokens_of_the_CPU(params string[] more)
    {
        string[] generate = ["generate", InferenceFixture.Folder, "--prompt", "def main(", "--prompt", "import numpy as np\nimport os\n", "--max-tokens", "6"];
        Assert.Equal(HaloConsole.Succeed(generate), gpu.Succeed([.. generate, .. more, "--device", "cuda"]));
    }
}
