using Halo.Models.Bundled;
using Halo.Models.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Steps of the exported graphs on a GPU, and answers.</summary>
[Trait("Category", "Gpu")]
public sealed class GpuStepTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Exports => ExportFixture.All;

    public void Dispose() => _folder.Dispose();

    [WithGpu]
    [MemberData(nameof(Exports))]
    public void Loss_and_every_gradient_are_PyTorchs_and_the_same_bits_twice(string name)
    {
        Step(name, "training.onnx", "a");
        Step(name, "training.onnx", "b");
        GpuSteps.Compare(_folder["a"], ExportFixture.File(name, "expected.safetensors"), Tolerances.RawGradientOnGpu);
        Assert.Equal(File.ReadAllBytes(_folder["a"]), File.ReadAllBytes(_folder["b"]));
    }

    [WithGpu]
    [MemberData(nameof(Exports))]
    public void Graphs_in_bfloat16_run_too(string name)
    {
        Step(name, "training-bf16.onnx", "a");
        GpuSteps.Compare(_folder["a"], ExportFixture.File(name, "expected.safetensors"), Tolerances.BFloat16Graph);
    }

    [WithGpu]
    [InlineData("llama2-mha")]
    [InlineData("llama32-tied")]
    public void Raw_gradients_of_opset_23_run_too(string name)
    {
        string[] gradient = GpuSteps.RawGradient(name, "logits-dynamo-sdpa-opset23.onnx");
        HaloProcess.Succeed([.. gradient, "-o", _folder["raw.onnx"]]);
        HaloProcess.Succeed([.. gradient, "-o", _folder["raw16.onnx"], "--precision", "bf16"]);
        foreach (var (graph, tolerance) in new[] { ("raw.onnx", Tolerances.RawGradientOnGpu), ("raw16.onnx", Tolerances.BFloat16Graph) })
        {
            HaloProcess.Succeed(["step", _folder[graph], .. GpuSteps.Arguments(name, "training.onnx")[1..], "-o", _folder["a"], "--device", "cuda"]);
            GpuSteps.Compare(_folder["a"], ExportFixture.File(name, "expected.safetensors"), tolerance);
        }
    }

    [WithGpu]
    [InlineData("SELECT name FROM")]
    public void Answers_are_those_of_the_CPU(string prompt)
    {
        string[] generate = ["generate", LlamaTiny.Folder, "--prompt", prompt, "--greedy", "--max-tokens", "20"];
        Assert.Equal(HaloProcess.Succeed(generate), HaloProcess.Succeed([.. generate, "--device", "cuda"]));
    }

    [WithGpu]
    [MemberData(nameof(Exports))]
    public void Updates_follow_those_of_the_CPU(string name)
    {
        string[] updates = ["--steps", "5", "--clip", "1", "--weight-decay", "0.01", "--save-params"];
        Step(name, "training.onnx", "a", [.. updates, _folder["after-a"]]);
        HaloProcess.Succeed(["step", .. GpuSteps.Arguments(name, "training.onnx"), "-o", _folder["b"], .. updates, _folder["after-b"]]);
        GpuSteps.Compare(_folder["a"], _folder["b"], Tolerances.OtherOperators);
        GpuSteps.Compare(_folder["after-a"], _folder["after-b"], Tolerances.RawGradientOnGpu);
    }

    private void Step(string name, string graph, string output, params string[] more) =>
        HaloProcess.Succeed(["step", .. GpuSteps.Arguments(name, graph), "-o", _folder[output], "--device", "cuda", .. more]);
}

/// <summary>What steps on a GPU are given, and how they are judged.</summary>
internal static class GpuSteps
{
    public static string[] Arguments(string name, string graph) =>
    [
        ExportFixture.File(name, graph), "--params", ExportFixture.File(name, "model.safetensors"), "--batch", ExportFixture.File(name, "expected.safetensors"),
    ];

    public static string[] RawGradient(string name, string file) =>
        ["gradient", ExportFixture.File(name, file), "--weights", ExportFixture.Folder(name), "--raw", "--batch", "3", "--sequence", "24"];

    /// <summary>Every tensor that both files have.</summary>
    public static void Compare(string found, string expected, double tolerance)
    {
        using var a = SafetensorsFile.Open(found);
        using var b = SafetensorsFile.Open(expected);
        Assert.NotEmpty(a.Tensors);
        foreach (var name in a.Tensors.Keys)
        {
            var error = RelativeError.Of(a.ReadFloats(name), b.ReadFloats(name));
            Assert.True(error <= tolerance, $"{name}: {error:E2}");
        }
    }
}
