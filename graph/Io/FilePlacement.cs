using System.Runtime.InteropServices;

namespace Halo.Io;

/// <summary>How the content of a file came to stand in a second place.</summary>
internal enum PlacedAs
{
    /// <summary>A file of its own that shares blocks with the other until one of them is written.</summary>
    Clone,

    /// <summary>A second name of the same file: writing into the one changes the other.</summary>
    Link,

    /// <summary>A file of its own.</summary>
    Copy,
}

/// <summary>Puts the content of a file in a second place; a large file without reading it, where the file system can.</summary>
/// <remarks>A clone (FICLONE: Btrfs, XFS and others), else for a large file a hard link, else (another file system) a copy.</remarks>
internal static partial class FilePlacement
{
    /// <summary>A copy of fewer bytes takes a second or two, and is independent of the other file.</summary>
    public const long CopiedBytes = 1L << 30;

    /// <summary>_IOW(0x94, 9, int). [linux/fs.h]</summary>
    private const nuint CloneRequest = 0x40049409;

    /// <param name="source">Links are followed.</param>
    /// <param name="target">Is made; must not exist.</param>
    /// <param name="copiedBytes">From how many bytes on a link is better than a copy.</param>
    /// <exception cref="IOException">The target cannot be written.</exception>
    public static PlacedAs Put(string source, string target, long copiedBytes = CopiedBytes)
    {
        var file = new FileInfo(source);
        file = file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file;
        if (OperatingSystem.IsLinux() && TryClone(file.FullName, target))
            return PlacedAs.Clone;
        if (OperatingSystem.IsLinux() && file.Length >= copiedBytes && Link(file.FullName, target) == 0)
            return PlacedAs.Link;
        file.CopyTo(target);
        return PlacedAs.Copy;
    }

    private static bool TryClone(string source, string target)
    {
        using var from = File.OpenHandle(source);
        using (var to = File.OpenHandle(target, FileMode.CreateNew, FileAccess.Write))
        {
            if (Control(to.DangerousGetHandle(), CloneRequest, from.DangerousGetHandle()) == 0)
                return true;
        }
        File.Delete(target);
        return false;
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Control(nint descriptor, nuint request, nint argument);

    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string from, string to);
}
