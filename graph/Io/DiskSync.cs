using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Halo.Io;

/// <summary>Waits until what was written is on the disk, and says where it did not get there.</summary>
/// <remarks>
/// A name is on the disk when its folder is. .NET's <c>Flush(flushToDisk: true)</c> returns where fsync failed, so that a device's error would be lost.
/// </remarks>
internal static class DiskSync
{
    /// <exception cref="IOException">The device, or the file system behind a network, did not take all of it.</exception>
    public static void File(SafeFileHandle file, string path)
    {
        if (!OperatingSystem.IsLinux())
            RandomAccess.FlushToDisk(file);
        else if (Sync(file) is not 0 and var error)
            throw Posix.Failure("fsync", path, error);
    }

    /// <summary>The names in a folder. Where the file system cannot do that for folders, it keeps them in its own order.</summary>
    /// <exception cref="IOException">The device did not take them.</exception>
    public static void Folder(string path)
    {
        if (!OperatingSystem.IsLinux())
            return;
        using var folder = Posix.Open(path, Posix.ReadOnly | Posix.IsFolder);
        if (Sync(folder) is not 0 and var error && !Posix.IsUnsupported(error))
            throw Posix.Failure("fsync", path, error);
    }

    /// <summary>Every file below a folder, then the folders, the outermost last.</summary>
    /// <exception cref="IOException">The device did not take all of it.</exception>
    public static void Tree(string folder)
    {
        foreach (var file in Directory.EnumerateFiles(folder))
        {
            var access = OperatingSystem.IsWindows() ? FileAccess.ReadWrite : FileAccess.Read; // Windows writes back only what could be written
            using var open = System.IO.File.OpenHandle(file, FileMode.Open, access, FileShare.ReadWrite | FileShare.Delete);
            File(open, file);
        }
        foreach (var inner in Directory.EnumerateDirectories(folder))
            Tree(inner);
        Folder(folder);
    }

    /// <summary>Makes a folder and those around it that are missing, each with its name on the disk.</summary>
    /// <exception cref="IOException">It cannot be made.</exception>
    public static void MakeFolders(string path)
    {
        if (Directory.Exists(path))
            return;
        var around = Path.GetDirectoryName(Path.GetFullPath(path))!;
        MakeFolders(around);
        Directory.CreateDirectory(path);
        Folder(around);
    }

    private static int Sync(SafeFileHandle file)
    {
        while (Posix.Sync(file) != 0)
        {
            if (Marshal.GetLastPInvokeError() is not Posix.IsInterrupted and var error)
                return error;
        }
        return 0;
    }
}
