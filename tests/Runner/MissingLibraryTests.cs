using System.Diagnostics;

namespace Halo.Tests.Runner;

/// <summary>An executable that was built without the native library.</summary>
public sealed class MissingLibraryTests : IDisposable
{
    private readonly TinyRun _run = new();

    public void Dispose() => _run.Dispose();

    [Fact]
    public void Training_names_the_missing_library_and_runs_by_function_bodies_when_asked()
    {
        var executable = WithoutLibrary();
        var (exitCode, error) = Run(executable, _run.TrainSmall("run", 2));
        Assert.Equal(2, exitCode);
        Assert.Contains("expected the native library, found no such file. Build without -p:SkipNative=true, or run with --operators functions.", error,
            StringComparison.Ordinal);
        Assert.False(Directory.Exists(_run["run"]));

        (exitCode, error) = Run(executable, _run.TrainSmall("run", 2, "--operators", "functions"));
        Assert.True(exitCode == 0, error);
        Assert.Equal(2, _run.Updates("run").Count);
    }

    /// <summary>The executable in a folder of its own, with links to all it needs but the library.</summary>
    private string WithoutLibrary()
    {
        var folder = Directory.CreateDirectory(_run["executable"]).FullName;
        foreach (var entry in new DirectoryInfo(AppContext.BaseDirectory).GetFileSystemInfos().Where(e => e.Name != "libhalo.so"))
        {
            var target = Path.Combine(folder, entry.Name);
            if (entry is FileInfo file && file.Name.StartsWith("halo.", StringComparison.Ordinal))
                file.CopyTo(target); // .NET looks for the others beside the real file
            else
                File.CreateSymbolicLink(target, entry.FullName);
        }
        return Path.Combine(folder, "halo.dll");
    }

    private static (int ExitCode, string Error) Run(string executable, string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [executable, .. arguments]) { RedirectStandardError = true, RedirectStandardOutput = true };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        _ = output.Result;
        return (process.ExitCode, error);
    }
}
