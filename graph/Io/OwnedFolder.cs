using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Halo.Io;

/// <summary>Folders that Halo writes: marked as its own, whole or not there, never over somebody else's files.</summary>
public static class OwnedFolder
{
    /// <summary>The file that marks a folder as written by Halo, and so as one it may replace.</summary>
    public const string MarkerName = "halo.json";

    /// <summary>Throws unless <paramref name="folder"/> is absent, empty, or marked as of the same kind: an export does not take the place of a run.</summary>
    /// <exception cref="HaloException">A file, or a non-empty folder of something else.</exception>
    public static void CheckReplaceable(string folder, string kind)
    {
        if (File.Exists(folder))
            throw Refusal(folder, "a folder", "a file");
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any() && !IsOurs(folder))
            throw Refusal(folder, "a new or empty folder, or one that Halo wrote", $"files and no {MarkerName}");
        if (IsOurs(folder) && KindOf(folder) is var found && found != kind)
            throw Refusal(folder, $"a new or empty folder, or one that Halo wrote as '{kind}', which is replaced", $"one that it wrote as '{found}'");
    }

    public static bool IsOurs(string folder) => File.Exists(Path.Combine(folder, MarkerName));

    /// <summary>What the marker of <paramref name="folder"/> says it is; null without a marker.</summary>
    public static string? KindOf(string folder)
    {
        if (!IsOurs(folder))
            return null;
        try
        {
            using var marker = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, MarkerName)));
            return marker.RootElement.GetProperty("kind").GetString();
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new HaloException("read-folder", Path.Combine(folder, MarkerName), "the marker of a Halo folder", "text that is none",
                "Restore the file, or choose another folder.", e);
        }
    }

    /// <summary>Marks a folder as Halo's.</summary>
    /// <param name="folder">Made if it is missing.</param>
    /// <param name="kind">What is in it: <c>run</c>, <c>artifact</c>, <c>checkpoint</c>, <c>model</c>, <c>inference</c>.</param>
    public static void Mark(string folder, string kind)
    {
        Directory.CreateDirectory(folder);
        var version = typeof(OwnedFolder).Assembly.GetName().Version!.ToString(3);
        AtomicFile.WriteText(Path.Combine(folder, MarkerName), JsonSerializer.Serialize(new { tool = "halo", version, kind }) + "\n");
    }

    /// <summary>Writes <paramref name="target"/> as a whole or not at all: a sibling folder is filled, marked, and renamed.</summary>
    /// <exception cref="HaloException">The target is not Halo's or of another kind, or the disk is full; nothing is left behind.</exception>
    public static void Write(string target, string kind, Action<string> fill)
    {
        target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(target));
        CheckReplaceable(target, kind);
        DropAbandoned(target);
        var temporary = PartialOf(target, $"{Environment.ProcessId}");
        try
        {
            Directory.CreateDirectory(temporary);
            fill(temporary);
            Mark(temporary, kind);
            Replace(temporary, target);
        }
        catch (Exception e)
        {
            if (Directory.Exists(temporary))
                Directory.Delete(temporary, recursive: true);
            if (AtomicFile.IsOfTheDisk(e))
                throw new HaloException("write-folder", target, "a place where the folder can be written", Named(e.Message).TrimEnd('.'),
                    "Free space or choose another output.", e);
            if (e is HaloException cause && cause.Subject.Contains(temporary, StringComparison.Ordinal))
                throw new HaloException(cause.Source!, Named(cause.Subject), cause.Expected, Named(cause.Found), cause.Advice, cause);
            throw;
        }

        string Named(string text) => text.Replace(temporary, target, StringComparison.Ordinal); // as the user knows the folder
    }

    private static string PartialOf(string target, string process) =>
        Path.Combine(Path.GetDirectoryName(target)!, $".{Path.GetFileName(target)}.{process}.partial");

    /// <summary>Removes what processes of this machine left that were killed while they wrote the same target.</summary>
    /// <remarks>Two machines must not write one target at the same time: neither knows the processes of the other.</remarks>
    private static void DropAbandoned(string target)
    {
        if (!Directory.Exists(Path.GetDirectoryName(target)))
            return;
        foreach (var partial in Directory.GetDirectories(Path.GetDirectoryName(target)!, Path.GetFileName(PartialOf(target, "*"))))
        {
            var name = Path.GetFileName(partial).Split('.')[^2];
            if (int.TryParse(name, CultureInfo.InvariantCulture, out var process) && partial == PartialOf(target, name) && !IsRunning(process))
                Directory.Delete(partial, recursive: true);
        }
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

    private static void Replace(string temporary, string target)
    {
        if (Directory.Exists(target) && !Directory.EnumerateFileSystemEntries(target).Any())
            Directory.Delete(target);
        if (!Directory.Exists(target))
        {
            Directory.Move(temporary, target);
            return;
        }
        var old = temporary + ".old";
        Directory.Move(target, old);
        try
        {
            Directory.Move(temporary, target);
        }
        catch
        {
            Directory.Move(old, target);
            throw;
        }
        Directory.Delete(old, recursive: true);
    }

    private static HaloException Refusal(string folder, string expected, string found) =>
        new("write-folder", folder, expected, found, "Choose another output or empty the folder.");
}
