using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Runner.Gpu;

/// <summary>The provider and its kernels on a GPU that the CPU emulates: what runs, where and in which order, though not how fast.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class EmulatedGpuTests : IDisposable
{
    private readonly EmulatedGpu _gpu;
    private readonly TemporaryFolder _folder = new();

    public EmulatedGpuTests(EmulatedGpu gpu) => _gpu = gpu;

    public static TheoryData<string> Exports => ExportFixture.All;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Exports))]
    public void Every_node_of_an_exported_step_runs_there(string name)
    {
        _gpu.Succeed(["step", .. GpuSteps.Arguments(name, "training.onnx"), "-o", _folder["a"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["a"], ExportFixture.File(name, "expected.safetensors"), Tolerances.SameGraph);
        _gpu.Succeed(["step", .. GpuSteps.Arguments(name, "training-bf16.onnx"), "-o", _folder["b"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["b"], ExportFixture.File(name, "expected.safetensors"), Tolerances.BFloat16Graph);
    }

    /// <summary>Windows, norms of queries and keys, fused projections, rotated parts of heads, layers that are not rotated.</summary>
    [Theory]
    [InlineData("mistral-window")]
    [InlineData("olmo2-postnorm")]
    [InlineData("phi3-partial")]
    [InlineData("qwen3-window")]
    [InlineData("smollm3-nope")]
    public void Every_node_of_a_step_of_a_family_runs_there(string name)
    {
        HaloConsole.Succeed("gradient", FamilyFixture.Folder(name), "-o", _folder["plain.onnx"], "--batch", "3", "--sequence", "24");
        string[] step = ["step", _folder["plain.onnx"], "--params", FamilyFixture.File(name, "model.safetensors"),
            "--batch", FamilyFixture.File(name, "expected.safetensors")];
        HaloConsole.Succeed([.. step, "-o", _folder["cpu"]]);
        _gpu.Succeed([.. step, "-o", _folder["gpu"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["gpu"], _folder["cpu"], name == "olmo2-postnorm" ? 4 * Tolerances.SameGraph : Tolerances.SameGraph); // a norm behind each product
    }

    /// <summary>The gradient of ONNX's own operators, RMSNormalization, RotaryEmbedding and Attention among them.</summary>
    [Theory]
    [InlineData("llama2-mha", "logits-dynamo-sdpa-opset23.onnx")]
    [InlineData("llama32-tied", "logits-dynamo-sdpa-opset23.onnx")]
    [InlineData("llama2-mha", "logits-torchscript-opset17.onnx")]
    public void Every_node_of_a_raw_gradient_runs_there(string name, string file)
    {
        HaloConsole.Succeed([.. GpuSteps.RawGradient(name, file), "-o", _folder["raw.onnx"]]);
        string[] step = ["step", _folder["raw.onnx"], .. GpuSteps.Arguments(name, "training.onnx")[1..]];
        HaloConsole.Succeed([.. step, "-o", _folder["cpu"]]);
        _gpu.Succeed([.. step, "-o", _folder["gpu"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["gpu"], _folder["cpu"], Tolerances.RawGradientOnGpu);
        HaloConsole.Succeed([.. GpuSteps.RawGradient(name, file), "-o", _folder["raw16.onnx"], "--precision", "bf16"]);
        step[1] = _folder["raw16.onnx"];
        _gpu.Succeed([.. step, "-o", _folder["gpu16"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["gpu16"], _folder["cpu"], Tolerances.BFloat16Graph);
    }

    /// <summary>Codes in both orders and given maxima change no bit; sums in another order may let a code flip.</summary>
    [Theory]
    [InlineData("halo-0", "fp8", "fuse-transposed-codes,fuse-producers", 0)]
    [InlineData("halo-2", "int8", "fuse-transposed-codes,fuse-producers", 0)]
    [InlineData("halo-0", "fp8", "fuse-transposed-codes,fuse-siblings,fuse-additions,fuse-producers", Tolerances.FlippedCodesOfWeights)]
    [InlineData("halo-2", "int8", "fuse-transposed-codes,fuse-siblings,fuse-additions,fuse-producers", Tolerances.FlippedCodesOfWeights)]
    public void What_is_fused_for_a_GPU_gives_what_it_gave_before(string scheme, string format, string fusions, double tolerance)
    {
        const string Name = "llama2-mha";
        HaloConsole.Succeed("rewrite", ExportFixture.File(Name, "training.onnx"), "-o", _folder["plain.onnx"], "--scheme", scheme, "--format", format, "--rederive");
        HaloConsole.Succeed("rewrite", _folder["plain.onnx"], "-o", _folder["fused.onnx"], "--pipeline", fusions + ",remove-dead-code", "--verify");
        foreach (var graph in (string[])["plain", "fused"])
            _gpu.Succeed(["step", _folder[graph + ".onnx"], .. GpuSteps.Arguments(Name, "training.onnx")[1..], "-o", _folder[graph], "--device", "cuda"]);
        GpuSteps.Compare(_folder["fused"], _folder["plain"], tolerance);
    }

    [Fact]
    public void Updates_write_parameters_and_moments_where_they_are()
    {
        string[] step = ["step", .. GpuSteps.Arguments("llama2-mha", "training.onnx"), "--steps", "3", "--clip", "1", "--weight-decay", "0.01"];
        HaloConsole.Succeed([.. step, "-o", _folder["cpu"], "--save-params", _folder["cpu-after"]]);
        _gpu.Succeed([.. step, "-o", _folder["gpu"], "--save-params", _folder["gpu-after"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["gpu"], _folder["cpu"], Tolerances.OneOperator);
        GpuSteps.Compare(_folder["gpu-after"], _folder["cpu-after"], Tolerances.OtherOperators);
    }

    /// <summary>Parameters, gradients and moments of bfloat16, over micro-batches: the same bits where the run was stopped, and near those of float32.</summary>
    [Fact]
    public void A_run_that_keeps_16_bits_goes_on_with_the_same_bits()
    {
        const string Row = """{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"select a from b where c = d"}]}""";
        File.WriteAllLines(_folder["rows.jsonl"], Enumerable.Range(0, 4).Select(i => Row.Replace("where c", $"where c{i}", StringComparison.Ordinal)));
        string[] train = ["train", "--model", LlamaTiny.Folder, "--data", _folder["rows.jsonl"], "--device", "cuda", "--precision", "bf16",
            "--micro-batch-size", "1", "--sequence-length", "24", "--batch-size", "2", "--learning-rate", "1e-3", "--schedule", "constant", "--clip-norm", "1",
            "--steps", "2", "--seed", "5"];
        _gpu.Succeed([.. train, "--states", "bf16", "--save-every", "1", "-o", _folder["narrow"]]);
        var last = _folder["narrow/checkpoints/step-00000002"];
        string[] files = [.. new[] { "model.safetensors", "optimizer.safetensors" }.Select(file => Path.Combine(last, file))];
        var whole = files.Select(File.ReadAllBytes).ToList();
        Directory.Delete(last, recursive: true); // as if the run had been killed behind the first update
        _gpu.Succeed(["train", "--resume", "-o", _folder["narrow"]]);
        Assert.Equal(whole, files.Select(File.ReadAllBytes));
        _gpu.Succeed([.. train, "-o", _folder["wide"]]);
        using var found = SafetensorsFile.Open(files[0]);
        using var wide = SafetensorsFile.Open(_folder["wide/checkpoints/step-00000002/model.safetensors"]);
        Assert.All(found.Tensors.Values, tensor => Assert.Equal(ElementType.BFloat16, tensor.DType));
        foreach (var name in found.Tensors.Keys)
        {
            var error = RelativeError.Of(found.ReadFloats(name), wide.ReadFloats(name));
            Assert.True(error <= Tolerances.BFloat16Graph, $"{name}: {error:E2}");
        }
    }

    [Fact]
    public void Answers_are_those_of_the_CPU()
    {
        string[] generate = ["generate", LlamaTiny.Folder, "--prompt", "SELECT name FROM", "--prompt", "How many", "--greedy", "--max-tokens", "6"];
        Assert.Equal(HaloConsole.Succeed(generate), _gpu.Succeed([.. generate, "--device", "cuda"]));
    }

    /// <summary>The message names a bound: with the pieces of 2 MiB that memory of this size is made of, half of it fits for sure.</summary>
    [Fact]
    public void Memory_that_runs_out_is_told_with_the_batch_that_fits()
    {
        const int Rows = 32, Tokens = 48;
        (string Name, string Value) memory = ("HALO_EMULATED_BYTES", $"{48 << 20}");
        var (exitCode, error) = _gpu.Start(Step(Rows), memory);
        Assert.Equal(1, exitCode);
        Assert.Contains("error: run: 'graph.onnx': expected about ", error, StringComparison.Ordinal);
        Assert.Contains("found 48 MiB of 48 MiB", error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["a"]));
        var fitting = Regex.Match(error, "A batch of ([0-9]+) rows of the graph's 32 is the most that can fit");
        Assert.True(fitting.Success, error);
        var most = int.Parse(fitting.Groups[1].Value, CultureInfo.InvariantCulture);
        Assert.InRange(most, 16, 30);
        (exitCode, error) = _gpu.Start(Step(most / 2), memory);
        Assert.True(exitCode == 0, error);

        IEnumerable<string> Step(int rows)
        {
            const string Name = "llama2-mha";
            HaloConsole.Succeed("gradient", ExportFixture.Folder(Name), "-o", _folder["graph.onnx"], "--batch", $"{rows}", "--sequence", $"{Tokens}");
            SafetensorsSource Input(string name, Func<int, long> at) => new(name, ElementType.Int64, [rows, Tokens],
                stream => stream.Write(MemoryMarshal.AsBytes<long>(Enumerable.Range(0, rows * Tokens).Select(at).ToArray())));
            SafetensorsWriter.Write(_folder["batch"],
                [Input("input_ids", i => i * 37 % 256), Input("attention_mask", _ => 1), Input("labels", i => i * 37 % 256)]);
            return ["step", _folder["graph.onnx"], "--params", ExportFixture.File(Name, "model.safetensors"), "--batch", _folder["batch"], "-o", _folder["a"],
                "--device", "cuda"];
        }
    }

    [Fact]
    public void Doctor_reports_the_device_and_the_libraries()
    {
        var output = _gpu.Succeed(["doctor"]);
        Assert.Contains("GPU 0            emulated on the CPU, compute capability 9.0, 1024 MiB", output, StringComparison.Ordinal);
        Assert.Contains("cuBLASLt", output, StringComparison.Ordinal);
        Assert.Contains("kernels          for compute capabilities 90a", output, StringComparison.Ordinal);
        Assert.Contains("HALO_CUDA_SYNC   '1': 1 waits after each node", output, StringComparison.Ordinal);
        Assert.Contains("HALO_CUBLASLT    not set: the file of cuBLASLt", output, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_reader_of_times_throws_ends_the_run_and_not_the_process()
    {
        var lines = new List<string>();
        var error = Assert.Throws<IOException>(() => NativeOperators.BenchKernels(_gpu.Library, "transpose bfloat16", line =>
        {
            lines.Add(line);
            if (lines.Count == 2)
                throw new IOException("disk full");
        }));
        Assert.Equal("disk full", error.Message);
        Assert.Equal(2, lines.Count);
    }

    [Fact]
    public void Bench_times_the_kernels_asked_for_beside_the_ceilings()
    {
        var output = _gpu.Succeed(["bench", "kernels", "--device", "cuda", "--filter", "transpose bfloat16", "--json", _folder["times.jsonl"]]);
        Assert.Contains("gpu emulated on the CPU", output, StringComparison.Ordinal);
        Assert.Contains("| `transpose` | bfloat16 | 64 x 256 |", output, StringComparison.Ordinal);
        Assert.DoesNotContain("`softmax`", output, StringComparison.Ordinal);
        var lines = File.ReadAllLines(_folder["times.jsonl"]);
        Assert.Contains("\"cublaslt\"", lines[0], StringComparison.Ordinal);
        Assert.Equal(7, lines.Length); // versions, five ceilings, one kernel
    }
}
