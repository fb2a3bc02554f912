namespace Halo.Io;

/// <summary>What a path leads to: a regular file, and where it lies once links are followed.</summary>
internal static class FilePlace
{
    private const int MaxLinks = 40; // as Linux has it

    /// <summary>A named pipe, which to open waits for a writer, a socket or a device is no file to read from.</summary>
    /// <exception cref="HaloException">The path leads to one of them. What is missing, a folder or out of reach is for whoever opens it to say.</exception>
    public static void RequireRegular(string path)
    {
        if (IsPipeOrDevice(path))
            throw new HaloException("read", path, "a regular file", "a pipe or device", "Write its content into a file first.");
    }

    /// <summary>Whether a path leads to a named pipe, a socket or a device.</summary>
    public static bool IsPipeOrDevice(string path) => OperatingSystem.IsLinux() && Posix.KindOf(path) is { } kind and not (Posix.RegularFile or Posix.Folder);

    /// <summary>The path without links, in any of its parts.</summary>
    /// <exception cref="HaloException">Links lead in a circle.</exception>
    public static string WithoutLinks(string path)
    {
        var full = Path.GetFullPath(path);
        for (var left = MaxLinks; left > 0; left--)
        {
            if (FirstLink(full) is not (var link, var target))
                return full;
            full = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(link)!, target) + full[link.Length..]);
        }
        throw new HaloException("read", path, $"at most {MaxLinks} links", "more, or a circle of them", "Put the file itself there.");
    }

    private static (string Link, string Target)? FirstLink(string full)
    {
        for (var end = full.IndexOf(Path.DirectorySeparatorChar, 1); ; end = full.IndexOf(Path.DirectorySeparatorChar, end + 1))
        {
            var part = end < 0 ? full : full[..end];
            if (new FileInfo(part).LinkTarget is { } target)
                return (part, target);
            if (end < 0)
                return null;
        }
    }
}
