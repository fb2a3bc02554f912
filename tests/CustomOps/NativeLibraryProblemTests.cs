using Halo.CustomOps;

namespace Halo.Tests.CustomOps;

/// <summary>A native library that a system cannot load is named with the loader's reason.</summary>
public sealed class NativeLibraryProblemTests
{
    [Fact]
    public void A_library_that_loads_has_none() => Assert.Null(NativeOperators.Problem);

    [Fact]
    public void A_file_that_is_no_library_is_told_from_a_missing_one()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder["libhalo.so"], new byte[4096]);
        Assert.Contains("invalid ELF header", NativeOperators.ProblemOf(folder["libhalo.so"]));
        Assert.Equal("no such file", NativeOperators.ProblemOf(folder["other.so"]));
    }
}
