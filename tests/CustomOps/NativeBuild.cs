using System.Diagnostics;

namespace Halo.Tests.CustomOps;

/// <summary>Native programs of tests, in build folders that are kept: CMake decides what is stale.</summary>
public static class NativeBuild
{
    private static readonly string Source = Path.Combine(RepositoryRoot.Path, "customops");

    /// <summary>Builds a target and returns its build folder.</summary>
    /// <param name="folder">Below customops/obj; <c>native</c> is the library's own.</param>
    /// <param name="target">The target of CMake.</param>
    /// <param name="settings">Cache entries of a folder of the target's own, such as -DNAME=VALUE.</param>
    public static string Build(string folder, string target, params string[] settings)
    {
        var build = Path.Combine(Source, "obj", folder);
        Run("cmake", ["-S", Source, "-B", build, .. settings]);
        Run("cmake", "--build", build, "--target", target, "--parallel", Run("nproc").Trim()); // a test's process counts one processor
        return build;
    }

    /// <summary>What the program prints; it is to end with 0.</summary>
    public static string Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}:\n{output}\n{error.Result}");
        return output;
    }
}
