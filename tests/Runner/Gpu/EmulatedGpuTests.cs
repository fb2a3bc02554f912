using System.Diagnostics;

namespace Halo.Tests.Runner.Gpu;

/// <summary>The provider and its kernels on a GPU that the CPU emulates: what runs, where and in which order, though not how fast.</summary>
[Trait("Category", "Slow")]
public sealed class EmulatedGpuTests : IClassFixture<EmulatedGpu>, IDisposable
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
        GpuSteps.Compare(_folder["a"], ExportFixture.File(name, "expected.safetensors"), 5e-6);
        _gpu.Succeed(["step", .. GpuSteps.Arguments(name, "training-bf16.onnx"), "-o", _folder["b"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["b"], ExportFixture.File(name, "expected.safetensors"), 2e-2);
    }

    [Theory]
    [InlineData("halo-0", "fp8", 1e-3)] // sums in another order; products are exact
    [InlineData("halo-2", "int8", 0.1)] // rotations too: a code that rounds the other way is a step of the format
    public void Every_node_of_a_rewritten_step_runs_there(string scheme, string format, double tolerance)
    {
        const string Name = "llama2-mha";
        HaloProcess.Succeed("rewrite", ExportFixture.File(Name, "training.onnx"), "-o", _folder["r.onnx"], "--scheme", scheme, "--format", format);
        string[] step = ["step", _folder["r.onnx"], .. GpuSteps.Arguments(Name, "training.onnx")[1..]];
        HaloProcess.Succeed([.. step, "-o", _folder["cpu"]]);
        _gpu.Succeed([.. step, "-o", _folder["gpu"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["gpu"], _folder["cpu"], tolerance);
    }

    [Fact]
    public void Updates_write_parameters_and_moments_where_they_are()
    {
        string[] step = ["step", .. GpuSteps.Arguments("llama2-mha", "training.onnx"), "--steps", "3", "--clip", "1", "--weight-decay", "0.01"];
        HaloProcess.Succeed([.. step, "-o", _folder["cpu"], "--save-params", _folder["cpu-after"]]);
        _gpu.Succeed([.. step, "-o", _folder["gpu"], "--save-params", _folder["gpu-after"], "--device", "cuda"]);
        GpuSteps.Compare(_folder["gpu"], _folder["cpu"], 1e-6);
        GpuSteps.Compare(_folder["gpu-after"], _folder["cpu-after"], 1e-5);
    }

    [Fact]
    public void Memory_that_runs_out_is_told_with_what_was_needed()
    {
        var (exitCode, error) = _gpu.Start(
            ["step", .. GpuSteps.Arguments("llama2-mha", "training.onnx"), "-o", _folder["a"], "--device", "cuda"], ("HALO_EMULATED_BYTES", $"{16 << 20}"));
        Assert.Equal(1, exitCode);
        Assert.Contains("error: run: 'training.onnx': expected at least ", error, StringComparison.Ordinal);
        Assert.Contains("found 16 MiB of 16 MiB", error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["a"]));
    }

    [Fact]
    public void Doctor_reports_the_device_and_the_libraries()
    {
        var output = _gpu.Succeed(["doctor"]);
        Assert.Contains("GPU 0            emulated on the CPU, compute capability 9.0, 1024 MiB", output, StringComparison.Ordinal);
        Assert.Contains("cuBLASLt", output, StringComparison.Ordinal);
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

/// <summary>The executable in a folder of its own, with the emulated library, which is built once and kept.</summary>
public sealed class EmulatedGpu : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public EmulatedGpu()
    {
        var source = Path.Combine(RepositoryRoot.Path, "customops");
        var build = Path.Combine(source, "obj", "native-emulated");
        var headers = File.ReadLines(Path.Combine(source, "obj", "native", "CMakeCache.txt"))
            .First(line => line.StartsWith("HALO_ORT_INCLUDE", StringComparison.Ordinal));
        Run("cmake", ["-S", source, "-B", build, "-DHALO_CUDA=OFF", $"-DHALO_ORT_INCLUDE={headers[(headers.IndexOf('=', StringComparison.Ordinal) + 1)..]}"]);
        Run("cmake", ["--build", build, "--target", "halo_emulated", "--parallel", $"{Environment.ProcessorCount}"]);
        foreach (var entry in new DirectoryInfo(AppContext.BaseDirectory).GetFileSystemInfos().Where(e => e.Name != "libhalo.so"))
        {
            if (entry is FileInfo file && file.Name.StartsWith("halo.", StringComparison.Ordinal))
                file.CopyTo(_folder[entry.Name]); // .NET looks for the others beside the real file
            else
                File.CreateSymbolicLink(_folder[entry.Name], entry.FullName);
        }
        File.CreateSymbolicLink(_folder["libhalo.so"], Path.Combine(build, "emulated", "libhalo.so"));
    }

    public void Dispose() => _folder.Dispose();

    public string Succeed(IEnumerable<string> arguments) => Run("dotnet", [_folder["halo.dll"], .. arguments]);

    public (int ExitCode, string Error) Start(IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        var (exitCode, _, error) = Finish("dotnet", [_folder["halo.dll"], .. arguments], environment);
        return (exitCode, error);
    }

    private static string Run(string program, IEnumerable<string> arguments)
    {
        var (exitCode, output, error) = Finish(program, arguments, []);
        Assert.True(exitCode == 0, $"{program} {string.Join(' ', arguments)} ended with {exitCode}:\n{output}\n{error}");
        return output;
    }

    private static (int ExitCode, string Output, string Error) Finish(string program, IEnumerable<string> arguments, (string Name, string Value)[] environment)
    {
        var info = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["HALO_CUDA_SYNC"] = "1"; // there is nothing that could record
        foreach (var (name, value) in environment)
            info.Environment[name] = value;
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
