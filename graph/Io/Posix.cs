using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Halo.Io;

/// <summary>Calls of Linux that .NET has no form of, or whose errors it does not hand on.</summary>
/// <remarks>[man 2 fcntl, flock, fsync, lseek, mkdir, open, rename, statx]</remarks>
internal static partial class Posix
{
    public const int IsInterrupted = 4, WouldBlock = 11, NoAccess = 13;

    public const int ReadOnly = 0, ReadWrite = 2, Create = 0x40, IsFolder = 0x10000, NoFollow = 0x20000, CloseOnExec = 0x80000;

    /// <summary>What <see cref="KindOf"/> gives: S_IFREG, S_IFDIR.</summary>
    public const int RegularFile = 0x8000, Folder = 0x4000;

    /// <summary>O_NONBLOCK: a named pipe opens without a writer.</summary>
    public const int NoWait = 0x800;

    public const int Exclusive = 2, NonBlocking = 4;

    /// <summary>Two names change places, with no moment without either.</summary>
    public const uint Exchange = 2;

    /// <summary>Fails where the new name is taken.</summary>
    public const uint NoReplace = 1;

    /// <summary>AT_FDCWD: paths are as they would be without a folder's descriptor.</summary>
    private const int Here = -100;

    private static readonly int[] Unsupported = [22, 38, 95]; // EINVAL, ENOSYS, EOPNOTSUPP: the file system does not have it

    /// <summary>Whether a call failed for want of support, not for what it was asked to do.</summary>
    public static bool IsUnsupported(int error) => Unsupported.Contains(error);

    /// <exception cref="IOException">It cannot be opened.</exception>
    public static SafeFileHandle Open(string path, int flags, int mode = 0)
    {
        var descriptor = OpenFile(path, flags | CloseOnExec, mode);
        return descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true) : throw Failure("open", path);
    }

    public static IOException Failure(string call, string path, int? error = null) =>
        new($"{Marshal.GetPInvokeErrorMessage(error ?? Marshal.GetLastPInvokeError())} ({call} of {path})");

    /// <summary>The type of what a path leads to, of its mode; null where nothing is, or that cannot be known.</summary>
    public static unsafe int? KindOf(string path)
    {
        const int ModeAt = 28, Types = 0xF000; // stx_mode and S_IFMT
        var status = stackalloc byte[256];
        return Status(Here, path, 0, 1, status) == 0 ? BitConverter.ToUInt16(new ReadOnlySpan<byte>(status + ModeAt, 2)) & Types : null;
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int Status(int folder, string path, int flags, uint mask, byte* status);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    public static partial int Sync(SafeFileHandle file);

    /// <summary>SEEK_DATA: to the next byte that is in no hole.</summary>
    public const int ToData = 3;

    /// <summary>ENXIO, by which a seek says that nothing but a hole follows.</summary>
    public static bool IsPastData() => Marshal.GetLastPInvokeError() == 6;

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    public static partial long Seek(SafeFileHandle file, long offset, int to);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    public static partial int Lock(SafeFileHandle file, int operation);

    /// <summary>Locks the whole of a file that is open for writing, for the open file rather than the process (F_OFD_SETLK).</summary>
    public static int LockFile(SafeFileHandle file)
    {
        var all = new FileRange { Type = 1 }; // F_WRLCK; from 0, of length 0: to the end, wherever that comes to be
        return Control(file, 37, ref all);
    }

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(SafeFileHandle file, int request, ref FileRange range);

    /// <summary>struct flock of 64-bit Linux. [bits/fcntl.h]</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct FileRange
    {
        public short Type, Whence;
        public long Start, Length;
        public int Process;
    }

    [LibraryImport("libc", EntryPoint = "mkdir", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int MakeFolder(string path, uint mode);

    public static int Rename(string from, string to, uint flags) => RenameAt(Here, from, Here, to, flags);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt(int fromFolder, string from, int toFolder, string to, uint flags);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags, int mode);
}
