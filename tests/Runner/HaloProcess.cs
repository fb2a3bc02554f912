using System.Diagnostics;

namespace Halo.Tests.Runner;

/// <summary>The real <c>halo</c> executable in a process of its own.</summary>
public static class HaloProcess
{
    private static readonly string Assembly = Path.Combine(AppContext.BaseDirectory, "halo.dll");

    public static (int ExitCode, string Output, string Error) Run(params string[] arguments)
    {
        using var process = Start(arguments);
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        process.WaitForExit();
        return (process.ExitCode, output.Result, error.Result);
    }

    /// <summary>Runs and expects exit code 0.</summary>
    public static string Succeed(params string[] arguments)
    {
        var (exitCode, output, error) = Run(arguments);
        Assert.True(exitCode == 0, $"halo {string.Join(' ', arguments)} ended with {exitCode}:\n{error}");
        return output;
    }

    public static Process Start(params string[] arguments)
    {
        var info = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        info.ArgumentList.Add(Assembly);
        foreach (var argument in arguments)
            info.ArgumentList.Add(argument);
        info.Environment["NO_COLOR"] = "1";
        return Process.Start(info)!;
    }
}
