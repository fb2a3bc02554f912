using System.Diagnostics;

namespace Halo.Tests.Runner.Generation;

/// <summary>Programs beside the tests that use an inference folder and nothing of Halo.</summary>
internal static class OtherProgram
{
    /// <summary>By ONNX Runtime alone; built with the tests.</summary>
    public const string Plain = "PlainGeneration";

    /// <summary>By ONNX Runtime GenAI; built by hand.</summary>
    public const string GenAi = "GenAiGeneration";

    public static bool IsBuilt(string name) => File.Exists(PathOf(name));

    /// <summary>The lines that it prints; it must end with exit code 0.</summary>
    public static string[] Run(string name, params string[] arguments)
    {
        var info = new ProcessStartInfo("dotnet", [PathOf(name), .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(info)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{name} ended with {process.ExitCode}:\n{error.Result}");
        return output.TrimEnd('\n').Split('\n');
    }

    private static string PathOf(string name) => Path.Combine(RepositoryRoot.Path, "tests", name, "bin", Configuration, "net10.0", $"{name}.dll");

    /// <summary>Debug or Release, as the tests themselves: .../bin/Debug/net10.0/.</summary>
    private static string Configuration => new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
}

/// <summary>A test that needs the program over ONNX Runtime GenAI; where it is not built it is skipped and says why.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class WithGenAiAttribute : TheoryAttribute
{
    public WithGenAiAttribute()
    {
        if (!OtherProgram.IsBuilt(OtherProgram.GenAi))
            Skip = "needs ONNX Runtime GenAI, a package of 270 MB: dotnet build tests/GenAiGeneration";
    }
}
