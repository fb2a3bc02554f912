using System.Diagnostics;

namespace Halo.Tests.Runner;

/// <summary>A folder on a disk that gets full: a tmpfs of its own where mounting is permitted, else a limit on the size of each file.</summary>
public sealed class SmallDisk : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly bool _isMounted;
    private int? _fileKibibytes;

    private SmallDisk(bool isMounted, int? fileKibibytes) => (_isMounted, _fileKibibytes) = (isMounted, fileKibibytes);

    public string this[string name] => _folder[name];

    public string Path => _folder.Path;

    /// <summary>Null, with a reason on the test's output, where the machine does not permit it.</summary>
    public static SmallDisk? Mount(int kibibytes, Xunit.Abstractions.ITestOutputHelper output)
    {
        var disk = new SmallDisk(isMounted: true, null);
        if (Call("mount", "-t", "tmpfs", "-o", $"size={kibibytes}k", "tmpfs", disk.Path) is not { } refusal)
            return disk;
        output.WriteLine($"skipped: no tmpfs can be mounted here: {refusal}");
        disk._folder.Dispose();
        return null;
    }

    public static SmallDisk? Limit(int kibibytes, Xunit.Abstractions.ITestOutputHelper output)
    {
        if (OperatingSystem.IsLinux())
            return new SmallDisk(isMounted: false, kibibytes);
        output.WriteLine("skipped: the size of files is limited through bash, on Linux");
        return null;
    }

    public (int ExitCode, string Output, string Error) Run(params string[] arguments) =>
        _fileKibibytes is { } limit ? HaloProcess.RunWithFileLimit(limit, arguments) : HaloConsole.Run(arguments);

    /// <summary>Makes room for everything.</summary>
    public void Grow()
    {
        _fileKibibytes = null;
        if (_isMounted)
            Assert.Null(Call("mount", "-o", "remount,size=1g", _folder.Path));
    }

    public void Dispose()
    {
        if (_isMounted)
            Call("umount", "--lazy", _folder.Path); // lazy: graphs that were read may still be mapped
        _folder.Dispose();
    }

    /// <summary>Null, or why it failed.</summary>
    private static string? Call(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            var error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : error.Trim();
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return e.Message;
        }
    }
}
