using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Halo.Runner.Cli;

namespace Halo.Tests.Runner;

/// <summary>The command line in this process, its console captured: no process to start for each of many command lines.</summary>
/// <remarks>The console is the process's; what is written in the flow of a run, on whatever thread, goes to that run's own writers.</remarks>
public static partial class HaloConsole
{
    private static readonly AsyncLocal<(TextWriter Output, TextWriter Error)?> Current = new();

    static HaloConsole()
    {
        var (output, error) = (Console.Out, Console.Error);
        Console.SetOut(new FlowWriter(() => Current.Value?.Output ?? output));
        Console.SetError(new FlowWriter(() => Current.Value?.Error ?? error));
    }

    public static (int ExitCode, string Output, string Error) Run(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        Current.Value = (TextWriter.Synchronized(output), TextWriter.Synchronized(error));
        try
        {
            return (Root.Run(arguments), output.ToString(), error.ToString());
        }
        finally
        {
            Current.Value = null;
        }
    }

    /// <summary>Runs and expects exit code 0.</summary>
    public static string Succeed(params string[] arguments)
    {
        var (exitCode, output, error) = Run(arguments);
        Assert.True(exitCode == 0, $"halo {string.Join(' ', arguments)} ended with {exitCode}:\n{error}");
        return output;
    }

    /// <summary>Runs and expects exit code 2, one message of the form in style.md, nothing on stdout, and every file as it was.</summary>
    /// <param name="folder">Where inputs and outputs lie.</param>
    /// <param name="part">What the message must say.</param>
    /// <param name="arguments">The command line.</param>
    /// <returns>The message.</returns>
    public static string Refused(TemporaryFolder folder, string part, params string[] arguments)
    {
        var before = Files(folder.Path);
        var message = Message(part, arguments, Run(arguments));
        Assert.Equal(before, Files(folder.Path));
        return message;
    }

    /// <summary>The one message of a refusal; lines of progress may stand before it.</summary>
    public static string Message(string part, IEnumerable<string> arguments, (int ExitCode, string Output, string Error) found)
    {
        var lines = found.Error.TrimEnd('\n').Split('\n');
        var isInOrder = (found.ExitCode, found.Output) == (2, "") && Form().IsMatch(lines[^1]) && lines[^1].Contains(part, StringComparison.Ordinal)
            && lines.Count(l => l.StartsWith("error", StringComparison.Ordinal)) == 1 && !found.Error.Contains("   at ", StringComparison.Ordinal);
        Assert.True(isInOrder, $"halo {string.Join(' ', arguments)}\nexpected exit code 2, an empty stdout and one message with '{part}'; "
            + $"found {found.ExitCode}, '{found.Output}' and\n{found.Error}");
        return lines[^1];
    }

    /// <summary>Every file and folder below <paramref name="folder"/>, with a hash of its content.</summary>
    public static IReadOnlyList<string> Files(string folder) =>
    [
        .. Directory.EnumerateFileSystemEntries(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(path => File.Exists(path) ? $"{path} {Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path)))}" : path),
    ];

    [GeneratedRegex(@"^error: [a-z][a-z0-9-]*: \S.*: expected \S.*, found \S.*\. [A-Z].*[.?]$")]
    private static partial Regex Form();

    /// <summary>Writes where the flow at hand wants it.</summary>
    private sealed class FlowWriter(Func<TextWriter> writer) : TextWriter
    {
        public override Encoding Encoding => writer().Encoding;

        public override void Write(char value) => writer().Write(value);

        public override void Write(string? value) => writer().Write(value);

        public override void Write(char[] buffer, int index, int count) => writer().Write(buffer, index, count);

        public override void Write(ReadOnlySpan<char> buffer) => writer().Write(buffer);

        public override void WriteLine(string? value) => writer().WriteLine(value);

        public override void Flush() => writer().Flush();
    }
}
