using Xunit.Abstractions;

namespace Halo.Tests.CustomOps;

/// <summary>The native check program, which needs neither .NET nor ONNX Runtime: each kernel against plain loops.</summary>
public class NativeCheckTests(ITestOutputHelper output)
{
    [Fact]
    public void Kernels_agree_with_plain_loops_and_are_clean_under_AddressSanitizer_and_UBSan()
    {
        var build = NativeBuild.Build("native-check", "halo-kernel-check", "-DHALO_SANITIZE=address,undefined");
        var result = NativeBuild.Run(Path.Combine(build, "halo-kernel-check"));
        output.WriteLine(result);
        Assert.Contains(", 0 failed", result, StringComparison.Ordinal);
    }
}
