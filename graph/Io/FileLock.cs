using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Halo.Io;

/// <summary>An exclusive lock on a file or folder, which the system takes back when its process ends, however it ends.</summary>
/// <remarks>
/// It holds between containers and, on NFS, between machines. Files have locks of fcntl(2), which hinder no reader (.NET's own calls take those of flock(2) on
/// what they open); folders, which cannot be opened for writing, those of flock(2).
/// </remarks>
internal sealed class FileLock : IDisposable
{
    private readonly SafeFileHandle _file;

    private FileLock(SafeFileHandle file) => _file = file;

    /// <summary>Locks a file, which is made if it is missing.</summary>
    /// <returns>Null where another holds the lock.</returns>
    /// <exception cref="IOException">The file cannot be opened, is a link, or lies on a file system without locks.</exception>
    public static FileLock? TryTake(string path)
    {
        if (!OperatingSystem.IsLinux())
            return TakeShared(path);
        var file = Posix.Open(path, Posix.ReadWrite | Posix.Create | Posix.NoFollow, 0x1B6); // 0666, less the user's mask
        if (Posix.LockFile(file) == 0)
            return new FileLock(file);
        var error = Marshal.GetLastPInvokeError();
        file.Dispose();
        return error is Posix.WouldBlock or Posix.NoAccess ? null : throw Posix.Failure("lock", path, error);
    }

    /// <summary>Locks a folder for as long as it is filled; null where the file system cannot do that.</summary>
    internal static FileLock? OfFolder(string path)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        var folder = Posix.Open(path, Posix.ReadOnly | Posix.IsFolder | Posix.NoFollow);
        if (Posix.Lock(folder, Posix.Exclusive | Posix.NonBlocking) == 0)
            return new FileLock(folder);
        folder.Dispose();
        return null;
    }

    /// <summary>Whether somebody holds a lock on a file or folder; false where that cannot be known.</summary>
    internal static bool IsHeld(string path)
    {
        if (!OperatingSystem.IsLinux())
            return false;
        try
        {
            using var file = Posix.Open(path, Posix.ReadOnly | Posix.NoFollow | Posix.NoWait);
            return Posix.Lock(file, Posix.Exclusive | Posix.NonBlocking) != 0 && Marshal.GetLastPInvokeError() == Posix.WouldBlock;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Replaces the file's content.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Write(ReadOnlySpan<byte> content)
    {
        RandomAccess.SetLength(_file, 0);
        RandomAccess.Write(_file, content, 0);
    }

    public void Dispose() => _file.Dispose();

    private static FileLock? TakeShared(string path)
    {
        try
        {
            return new FileLock(File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read));
        }
        catch (IOException) when (File.Exists(path))
        {
            return null;
        }
    }
}
