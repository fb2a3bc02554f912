using System.Text.Json;

namespace Halo.Io;

/// <summary>Folders that Halo writes: marked as its own, whole or not there, never over somebody else's files.</summary>
internal static class OwnedFolder
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
    /// <remarks>A folder that a killed process had put aside, to put another in its place, is brought back first.</remarks>
    public static string? KindOf(string folder)
    {
        if (!Directory.Exists(folder))
            PartialFiles.BringBack(folder);
        if (!IsOurs(folder))
            return null;
        FilePlace.RequireRegular(Path.Combine(folder, MarkerName));
        try
        {
            using var marker = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, MarkerName)));
            return marker.RootElement.GetProperty("kind").GetString();
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null; // removed or replaced meanwhile
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

    /// <summary>Writes <paramref name="target"/> as a whole or not at all: a sibling is filled, marked, brought onto the disk, and takes its place.</summary>
    /// <exception cref="HaloException">The target is not Halo's or of another kind, or the disk is full or fails; nothing is left behind.</exception>
    public static void Write(string target, string kind, Action<string> fill) => Write(target, kind, fill, FolderPlacement.Replace);

    /// <summary>As <see cref="Write(string, string, Action{string})"/>, where nothing is: what another process puts there meanwhile is not replaced.</summary>
    public static void Create(string target, string kind, Action<string> fill) => Write(target, kind, fill, FolderPlacement.Create);

    /// <summary>Removes a folder: it loses its name first, so that a kill in the middle leaves no half of it.</summary>
    /// <exception cref="HaloException">The disk does not let it go.</exception>
    public static void Remove(string folder) => Removing(folder, () =>
    {
        var doomed = PartialFiles.For(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));
        Directory.Move(folder, doomed);
        Directory.Delete(doomed, recursive: true);
    });

    /// <summary>Removes what ended processes left half-written in a folder, if there is one. What a living process writes stays.</summary>
    /// <exception cref="HaloException">The disk does not let it go.</exception>
    public static void RemoveAbandoned(string folder) => Removing(folder, () => PartialFiles.RemoveAllAbandoned(folder));

    private static void Removing(string folder, Action remove)
    {
        try
        {
            remove();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException("remove-folder", folder, "a folder whose files can be removed", e.Message.TrimEnd('.'), "Check disk and permissions.", e);
        }
    }

    private static void Write(string target, string kind, Action<string> fill, Action<string, string> place)
    {
        target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(target));
        var temporary = PartialFiles.For(target);
        var isMade = false;
        try
        {
            PartialFiles.RemoveAbandoned(target);
            CheckReplaceable(target, kind);
            FolderPlacement.Make(temporary);
            isMade = true;
            using var held = FileLock.OfFolder(temporary);
            fill(temporary);
            Mark(temporary, kind);
            DiskSync.Tree(temporary);
            place(temporary, target);
        }
        catch (Exception e)
        {
            if (isMade)
                TryDelete(temporary);
            if (AtomicFile.IsOfTheDisk(e))
                throw new HaloException("write-folder", target, "a place where the folder can be written", Named(e.Message).TrimEnd('.'),
                    "Free space or choose another output.", e);
            if (e is HaloException cause && cause.Subject.Contains(temporary, StringComparison.Ordinal))
                throw new HaloException(cause.Source!, Named(cause.Subject), cause.Expected, Named(cause.Found), cause.Advice, cause);
            throw;
        }

        string Named(string text) => text.Replace(temporary, target, StringComparison.Ordinal); // as the user knows the folder
    }

    private static void TryDelete(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { /* the first failure is the one to report; the next writing removes it */ }
    }

    private static HaloException Refusal(string folder, string expected, string found) =>
        new("write-folder", folder, expected, found, "Choose another output or empty the folder.");
}
