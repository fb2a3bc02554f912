using System.Text.RegularExpressions;
using Halo.CustomOps;

namespace Halo.Tests.CustomOps;

/// <summary>What the native library asks of the system that loads it: no more than the packages promise.</summary>
public sealed partial class NativeLibraryNeedsTests
{
    /// <summary>As .ci/pack and docs/packages.md say.</summary>
    private static readonly Version Glibc = new(2, 34);

    [Fact]
    public void The_library_asks_for_no_newer_glibc_than_packages_promise()
    {
        var promised = File.ReadAllText(Path.Combine(RepositoryRoot.Path, ".ci", "pack"));
        Assert.Contains($"glibc={Glibc} ", promised);
        var asked = VersionOfSymbol().Matches(NativeBuild.Run("objdump", "-T", NativeOperators.LibraryPath)).Select(m => Version.Parse(m.Groups[1].Value)).ToList();
        Assert.NotEmpty(asked);
        Assert.True(asked.Max() <= Glibc, $"expected glibc {Glibc} or older, found {asked.Max()}");
    }

    /// <summary>On a system with an older glibc their names are the old ones, so that the library does not tell.</summary>
    [Fact]
    public void No_source_reads_numbers_by_functions_that_glibc_2_38_renames()
    {
        var folder = Path.Combine(RepositoryRoot.Path, "customops");
        var sources = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .Where(file => Path.GetExtension(file) is ".cc" or ".cu" or ".h" or ".cuh")
            .Where(file => Path.GetRelativePath(folder, file).Split(Path.DirectorySeparatorChar)[0] is not ("check" or "obj" or "bin"))
            .ToList();
        Assert.True(sources.Count > 100, $"{sources.Count} sources");
        var calls = sources.SelectMany(file => File.ReadLines(file).Where(line => !line.TrimStart().StartsWith("//", StringComparison.Ordinal))
            .Where(line => CallOfRenamed().IsMatch(line)).Select(line => $"{Path.GetRelativePath(folder, file)}: {line.Trim()}")).ToList();
        Assert.True(calls.Count == 0, $"Use integer_of of common/integer_text.h:\n{string.Join('\n', calls)}");
    }

    [Theory]
    [InlineData("return std::atoi(text);", true)]
    [InlineData("const long n = strtol (text, &end, 10);", true)]
    [InlineData("std::sscanf(text, \"%d\", &n);", true)]
    [InlineData("port = std::stoi(text);", true)]
    [InlineData("unsigned long halo_plain_strtoul(const char* text, char** end, int base);", false)]
    [InlineData("const double x = std::strtod(text, nullptr);", false)]
    public void Calls_of_those_functions_are_recognized(string line, bool isCall) => Assert.Equal(isCall, CallOfRenamed().IsMatch(line));

    [GeneratedRegex(@"GLIBC_(\d+\.\d+)")]
    private static partial Regex VersionOfSymbol();

    /// <summary>The strtol and scanf families, and what is made of them. [glibc 2.38, NEWS]</summary>
    [GeneratedRegex(@"(?<![A-Za-z0-9_])(ato(i|l|ll)|strto(l|ul|ll|ull|imax|umax)|sto(i|l|ul|ll|ull)|[fsv]*scanf)\s*\(")]
    private static partial Regex CallOfRenamed();
}
