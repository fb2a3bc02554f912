namespace Halo.Tests.Runner;

/// <summary>HALO_ONNXRUNTIME, which names the build of ONNX Runtime that a process loads.</summary>
public sealed class OnnxRuntimeLibraryTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Named_library_is_the_one_that_runs()
    {
        var own = Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native", "libonnxruntime.so");
        File.CreateSymbolicLink(_folder["libonnxruntime.so"], own);
        var (exitCode, output, error) = Doctor("libonnxruntime.so");
        Assert.True(exitCode == 0, error);
        Assert.Contains($", {_folder["libonnxruntime.so"]}", output, StringComparison.Ordinal);
    }

    [Fact]
    public void None_other_runs_in_its_place()
    {
        File.WriteAllText(_folder["libonnxruntime.so"], "no library");
        var (exitCode, _, error) = Doctor("libonnxruntime.so");
        Assert.Equal(2, exitCode);
        Assert.StartsWith("error: onnxruntime: native library: expected one that comes with the application, or that HALO_ONNXRUNTIME names, found ", error,
            StringComparison.Ordinal);

        (exitCode, _, error) = Doctor("missing.so");
        Assert.Equal(2, exitCode);
        Assert.Contains($"HALO_ONNXRUNTIME: expected the file libonnxruntime.so, its providers beside it, found {_folder["missing.so"]}, which is not there.",
            error, StringComparison.Ordinal);
    }

    private (int ExitCode, string Output, string Error) Doctor(string file) =>
        HaloProcess.RunWith(new Dictionary<string, string?> { ["HALO_ONNXRUNTIME"] = _folder[file] }, "doctor");
}
