using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Halo.Io;

/// <summary>Files and folders that are written beside their place: how they are named, and which of them nobody writes any more.</summary>
/// <remarks>
/// <c>.NAME.PROCESS-START.partial</c>: the process, and when it began, in the clock ticks of /proc, as numbers of processes come again. A writer holds a
/// lock on what it writes where the file system has locks; so one in another container, whose processes are not seen here, is seen to live.
/// </remarks>
internal static partial class PartialFiles
{
    /// <summary>What a folder that is being replaced is called where two names cannot be exchanged.</summary>
    public const string OldSuffix = ".old";

    private static readonly string Owner = $"{Environment.ProcessId}-{StartOf(Environment.ProcessId) ?? 0}";

    /// <summary>Where <paramref name="target"/> is written before it takes its place.</summary>
    public static string For(string target) => Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{Owner}.partial");

    /// <summary>Removes what processes left that ended while they wrote the same target; brings back a folder that one had put aside.</summary>
    public static void RemoveAbandoned(string target)
    {
        BringBack(target);
        foreach (var (path, _) in Abandoned(Path.GetDirectoryName(target)!, Path.GetFileName(target)))
            Remove(path);
    }

    /// <summary>Where nothing is, a folder that an ended process had put aside comes back.</summary>
    public static void BringBack(string target)
    {
        target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(target));
        if (Path.Exists(target) || Path.GetDirectoryName(target) is not { } folder)
            return;
        foreach (var (path, _) in Abandoned(folder, Path.GetFileName(target)).Where(f => f.IsOld).Take(1))
        {
            try { Directory.Move(path, target); }
            catch (IOException) when (Path.Exists(target)) { /* another process did it */ }
        }
    }

    /// <summary>Removes what ended processes left of any target in a folder. A file that somebody put there under such a name goes as well.</summary>
    public static void RemoveAllAbandoned(string folder)
    {
        foreach (var (path, _) in Abandoned(folder, target: null))
            Remove(path);
    }

    private static List<(string Path, bool IsOld)> Abandoned(string folder, string? target)
    {
        if (!Directory.Exists(folder))
            return [];
        var found = new List<(string, bool)>();
        foreach (var path in Directory.EnumerateFileSystemEntries(folder, ".*", new EnumerationOptions { AttributesToSkip = 0 }))
        {
            if (Form().Match(Path.GetFileName(path)) is { Success: true } name && (target is null || name.Groups["target"].Value == target)
                && !IsAlive(name) && !FileLock.IsHeld(path))
                found.Add((path, name.Groups["old"].Success));
        }
        return found;
    }

    /// <summary>A name without a start is of Halo 0.1, which this process is not.</summary>
    private static bool IsAlive(Match name)
    {
        if (!int.TryParse(name.Groups["process"].Value, CultureInfo.InvariantCulture, out var process))
            return true;
        if (!name.Groups["start"].Success)
            return process != Environment.ProcessId && IsRunning(process);
        return OperatingSystem.IsLinux() ? StartOf(process)?.ToString(CultureInfo.InvariantCulture) == name.Groups["start"].Value : IsRunning(process);
    }

    private static bool IsRunning(int process)
    {
        try
        {
            using var found = Process.GetProcessById(process);
            return !found.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    /// <summary>Field 22 of its stat; null where no such process runs. [man 5 proc_pid_stat]</summary>
    private static ulong? StartOf(int process)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{process}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return fields[0] is "Z" or "X" ? null : ulong.Parse(fields[19], CultureInfo.InvariantCulture); // ended, and nobody asked how
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static void Remove(string path)
    {
        if (Directory.Exists(path) && new DirectoryInfo(path).LinkTarget is null)
            Directory.Delete(path, recursive: true);
        else
            File.Delete(path); // a link, not what it leads to
    }

    [GeneratedRegex(@"^\.(?<target>.+)\.(?<process>[0-9]+)(-(?<start>[0-9]+))?\.partial(?<old>\.old)?\z",
        RegexOptions.ExplicitCapture | RegexOptions.Singleline)]
    private static partial Regex Form();
}
