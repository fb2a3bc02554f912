using System.Diagnostics;

namespace Halo.Tests.Runner;

/// <summary>The real <c>halo</c> executable in a process of its own.</summary>
public static class HaloProcess
{
    private static readonly string Assembly = Path.Combine(AppContext.BaseDirectory, "halo.dll");

    public static (int ExitCode, string Output, string Error) Run(params string[] arguments) => Finish(Start(arguments));

    /// <summary>Runs where no file can grow beyond a size: what a full disk is to whoever writes.</summary>
    public static (int ExitCode, string Output, string Error) RunWithFileLimit(int kibibytes, params string[] arguments)
    {
        var info = Info("bash");
        info.ArgumentList.Add("-c");
        info.ArgumentList.Add($"trap '' XFSZ; ulimit -f {kibibytes}; exec dotnet \"$@\"");
        info.ArgumentList.Add("bash");
        info.Environment["DOTNET_EnableWriteXorExecute"] = "0"; // maps its code through a large file
        return Finish(Start(info, arguments));
    }

    /// <summary>Runs with some variables of the environment set, or left out where they are null.</summary>
    public static (int ExitCode, string Output, string Error) RunWith(IReadOnlyDictionary<string, string?> environment, params string[] arguments)
    {
        var info = Info("dotnet");
        foreach (var (name, value) in environment)
        {
            if (value is null)
                info.Environment.Remove(name);
            else
                info.Environment[name] = value;
        }
        return Finish(Start(info, arguments));
    }

    private static (int ExitCode, string Output, string Error) Finish(Process started)
    {
        using var process = started;
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

    public static Process Start(params string[] arguments) => Start(Info("dotnet"), arguments);

    private static ProcessStartInfo Info(string program) =>
        new(program) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };

    private static Process Start(ProcessStartInfo info, string[] arguments)
    {
        info.ArgumentList.Add(Assembly);
        foreach (var argument in arguments)
            info.ArgumentList.Add(argument);
        info.Environment["NO_COLOR"] = "1";
        return Process.Start(info)!;
    }
}
