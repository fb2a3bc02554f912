namespace Halo.Io;

/// <summary>Writes a file so that a reader sees the old one or the whole new one, never a part.</summary>
internal static class AtomicFile
{
    /// <summary>Writes through a sibling temporary file, brings it onto the disk and renames it over <paramref name="path"/>.</summary>
    /// <exception cref="HaloException">The disk is full or fails, or the folder cannot be written; nothing is left behind.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        using var file = PendingFile.Write(path, write);
        file.Commit();
    }

    /// <summary>Writes UTF-8 text without a byte order mark.</summary>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <summary>Removes a file, which is then gone from the disk too.</summary>
    /// <exception cref="HaloException">The disk does not let it go.</exception>
    public static void Remove(string path)
    {
        try
        {
            File.Delete(path);
            DiskSync.Folder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException("remove-file", path, "a file that can be removed", e.Message.TrimEnd('.'), "Check disk and permissions.", e);
        }
    }

    /// <summary>Whether the disk or the folder refused. A file that outgrows what the file system takes is an argument out of range to .NET.</summary>
    internal static bool IsOfTheDisk(Exception e) => e is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException { ParamName: "value" };

    internal static HaloException Refusal(string path, string found, Exception e) =>
        new("write", path, "a place where the file can be written", found.TrimEnd('.'), "Free space or choose another output.", e);
}
