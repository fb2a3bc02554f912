using System.Diagnostics;
using Xunit.Abstractions;

namespace Halo.Tests.CustomOps;

/// <summary>The native check program, which needs neither .NET nor ONNX Runtime: each kernel against plain loops.</summary>
public class NativeCheckTests(ITestOutputHelper output)
{
    [Fact]
    public void Kernels_agree_with_plain_loops_and_are_clean_under_AddressSanitizer_and_UBSan()
    {
        var source = Path.Combine(RepositoryRoot.Path, "customops");
        var build = Path.Combine(source, "obj", "native-check"); // kept: CMake decides what is stale
        Run("cmake", "-S", source, "-B", build, "-DHALO_SANITIZE=address,undefined");
        Run("cmake", "--build", build, "--target", "halo-kernel-check", "--parallel", $"{Environment.ProcessorCount}");
        var result = Run(Path.Combine(build, "halo-kernel-check"));
        output.WriteLine(result);
        Assert.Contains(", 0 failed", result, StringComparison.Ordinal);
    }

    private static string Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} ended with {process.ExitCode}:\n{output}\n{error.Result}");
        return output;
    }
}
