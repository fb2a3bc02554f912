using System.Diagnostics;
using System.Runtime.Versioning;

namespace Halo.Tests;

/// <summary>The launcher <c>halo</c> in a tree of its own, with a <c>dotnet</c> that tells its arguments and pretends to build.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class LauncherTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public LauncherTests()
    {
        File.Copy(Path.Combine(RepositoryRoot.Path, "halo"), Write("halo"), overwrite: true);
        Write("customops/Halo.CustomOps.csproj");
        Write("customops/ops/quantize/quantize.cu");
        Write("customops/ops/quantize/quantize.cuh");
        Write("runner/Halo.Runner.csproj");
        Write("tests/Halo.Tests.csproj");
        Write("Directory.Build.props");
        Write("Directory.Build.targets");
        Write("global.json");
        File.SetUnixFileMode(Write("path/dotnet", """
            #!/bin/sh
            if [ "$1" = build ]; then
              for argument in "$@"; do case "$argument" in *.csproj) root=${argument%/runner/*} ;; esac; done
              if [ -f "$root/broken" ]; then echo "quantize.cu: an error"; exit 1; fi
              mkdir -p "$root/runner/bin/Release/net10.0" "$root/runner/obj" "$root/customops/cases/obj"
              touch "$root/runner/bin/Release/net10.0/halo.dll" "$root/runner/obj/built"
            else
              echo "$@"
            fi
            """), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Run("halo");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_built_runs_without_a_build()
    {
        var (exitCode, output, error) = Run("halo", "inspect", "a graph.onnx");
        Assert.Equal((0, $"{_folder["runner/bin/Release/net10.0/halo.dll"]} inspect a graph.onnx\n", ""), (exitCode, output, error));
    }

    [Theory]
    [InlineData("customops/ops/quantize/quantize.cu")]
    [InlineData("customops/ops/quantize/quantize.cuh")]
    [InlineData("runner/Halo.Runner.csproj")]
    [InlineData("runner/a file of a kind that no list knows")]
    [InlineData("Directory.Build.props")]
    [InlineData("Directory.Build.targets")]
    [InlineData("global.json")]
    public void An_edited_or_new_file_makes_it_build_once(string file)
    {
        Write(file, "edited");
        Assert.Equal("halo: building\n", Run("halo").Error);
        Assert.Equal("", Run("halo").Error);
    }

    [Fact]
    public void A_file_that_went_makes_it_build()
    {
        File.Delete(_folder["customops/ops/quantize/quantize.cuh"]);
        Assert.Equal("halo: building\n", Run("halo").Error);
    }

    [Theory]
    [InlineData("tests/a.cs")]
    [InlineData("runner/obj/a.cs")]
    [InlineData("runner/bin/Debug/a.dll")]
    [InlineData("run/model/config.json")] // an output
    public void What_is_no_source_does_not(string file)
    {
        Write(file);
        Assert.Equal("", Run("halo").Error);
    }

    [Fact]
    public void A_build_that_fails_is_told_and_tried_again()
    {
        Write("broken");
        Write("customops/ops/quantize/quantize.cu", "edited");
        for (var attempt = 0; attempt < 2; attempt++)
            Assert.Equal((1, "", "halo: building\nquantize.cu: an error\n"), Run("halo"));
        File.Delete(_folder["broken"]);
        Assert.Equal("halo: building\n", Run("halo").Error);
    }

    [Fact]
    public async Task Launchers_that_start_at_once_build_once()
    {
        Write("customops/ops/quantize/quantize.cu", "edited");
        var runs = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => Run("halo", "--version"))));
        Assert.All(runs, r => Assert.Equal((0, $"{_folder["runner/bin/Release/net10.0/halo.dll"]} --version\n"), (r.ExitCode, r.Output)));
        Assert.Single(runs, r => r.Error == "halo: building\n");
        Assert.Equal(3, runs.Count(r => r.Error.Length == 0));
    }

    [Fact]
    public void A_symbolic_link_to_it_runs_it_where_it_is()
    {
        Directory.CreateDirectory(_folder["elsewhere"]);
        File.CreateSymbolicLink(_folder["elsewhere/first"], "../halo");
        File.CreateSymbolicLink(_folder["elsewhere/second"], _folder["elsewhere/first"]);
        Assert.Equal((0, $"{_folder["runner/bin/Release/net10.0/halo.dll"]} --version\n", ""), Run("elsewhere/second", "--version"));
    }

    /// <summary>A file; where it stood before it gets the time of now, which is later than any build before.</summary>
    private string Write(string file, string text = "")
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_folder[file])!);
        File.WriteAllText(_folder[file], text);
        return _folder[file];
    }

    private (int ExitCode, string Output, string Error) Run(string launcher, params string[] arguments)
    {
        Thread.Sleep(20); // file times have the grain of the kernel's clock
        var info = new ProcessStartInfo("bash", [_folder[launcher], .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["PATH"] = $"{_folder["path"]}:{info.Environment["PATH"]}";
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Thread.Sleep(20);
        return (process.ExitCode, output, error.Result);
    }
}
