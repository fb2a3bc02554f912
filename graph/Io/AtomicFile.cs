namespace Halo.Io;

/// <summary>Writes a file so that a reader sees the old one or the whole new one, never a part.</summary>
public static class AtomicFile
{
    /// <summary>Writes through a sibling temporary file, flushes it to the disk and renames it over <paramref name="path"/>.</summary>
    /// <exception cref="HaloException">The disk is full or the folder cannot be written; nothing is left behind.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        var full = Path.GetFullPath(path);
        var folder = Path.GetDirectoryName(full)!;
        var temporary = Path.Combine(folder, $".{Path.GetFileName(full)}.{Environment.ProcessId}.partial");
        try
        {
            Directory.CreateDirectory(folder);
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, full, overwrite: true);
        }
        catch (Exception e)
        {
            TryDelete(temporary);
            if (IsOfTheDisk(e))
                throw Refusal(full, e.Message.Replace(temporary, full, StringComparison.Ordinal), e);
            throw;
        }
    }

    /// <summary>Writes UTF-8 text without a byte order mark.</summary>
    public static void WriteText(string path, string text) => Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    /// <summary>Whether the disk or the folder refused. A file that outgrows what the file system takes is an argument out of range to .NET.</summary>
    internal static bool IsOfTheDisk(Exception e) => e is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException { ParamName: "value" };

    internal static HaloException Refusal(string path, string found, Exception e) =>
        new("write", path, "a place where the file can be written", found.TrimEnd('.'), "Free space or choose another output.", e);

    private static void TryDelete(string path)
    {
        try { File.Delete(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { /* the first failure is the one to report */ }
    }
}
