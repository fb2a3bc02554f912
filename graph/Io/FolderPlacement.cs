using System.Runtime.InteropServices;

namespace Halo.Io;

/// <summary>Puts a finished folder under its name, with no moment in which neither it nor the one that it replaces stands there.</summary>
internal static class FolderPlacement
{
    /// <summary>Makes a new folder: not one that is there, nor what a link leads to.</summary>
    /// <exception cref="IOException">Something has the name.</exception>
    public static void Make(string path)
    {
        DiskSync.MakeFolders(Path.GetDirectoryName(path)!);
        if (!OperatingSystem.IsLinux())
            Directory.CreateDirectory(path);
        else if (Posix.MakeFolder(path, 0x1FF) != 0) // 0777, less the user's mask
            throw Posix.Failure("mkdir", path);
    }

    /// <summary>Takes the place of <paramref name="target"/>, if there is one.</summary>
    /// <exception cref="IOException">The folder around them cannot be written.</exception>
    public static void Replace(string made, string target) => Replace(made, target, exchanges: true);

    /// <param name="made">Beside the target.</param>
    /// <param name="target">A folder, or nothing.</param>
    /// <param name="exchanges">False acts as a file system does that cannot exchange two names.</param>
    public static void Replace(string made, string target, bool exchanges)
    {
        if (Directory.Exists(target) && !Directory.EnumerateFileSystemEntries(target).Any())
            Directory.Delete(target);
        if (!Directory.Exists(target))
        {
            Place(() => Directory.Move(made, target), () => Directory.Move(target, made), target);
            return;
        }
        var old = made;
        if (exchanges && TryRename(made, target, Posix.Exchange))
            Place(() => { }, () => TryRename(made, target, Posix.Exchange), target);
        else
        {
            old = made + PartialFiles.OldSuffix;
            Place(() => PutAside(made, target, old), () => PutAside(old, target, made), target);
        }
        Directory.Delete(old, recursive: true);
    }

    /// <summary>Takes a name that nothing has.</summary>
    /// <exception cref="IOException">Something has it by now.</exception>
    public static void Create(string made, string target)
    {
        Place(() =>
        {
            if (!TryRename(made, target, Posix.NoReplace))
                Directory.Move(made, target);
        }, () => Directory.Move(target, made), target);
    }

    /// <summary>Renames, and brings the names onto the disk before anything else goes; a disk that does not take them gets the old ones back.</summary>
    private static void Place(Action rename, Action back, string target)
    {
        rename();
        try
        {
            DiskSync.Folder(Path.GetDirectoryName(target)!);
        }
        catch
        {
            back();
            throw;
        }
    }

    /// <summary>Where names cannot be exchanged, there is a moment with neither; the next start brings the old one back.</summary>
    private static void PutAside(string made, string target, string old)
    {
        Directory.Move(target, old);
        try
        {
            Directory.Move(made, target);
        }
        catch
        {
            Directory.Move(old, target);
            throw;
        }
    }

    /// <returns>False where the file system does not have such a rename.</returns>
    private static bool TryRename(string from, string to, uint flags)
    {
        if (!OperatingSystem.IsLinux())
            return false;
        if (Posix.Rename(from, to, flags) == 0)
            return true;
        var error = Marshal.GetLastPInvokeError();
        return Posix.IsUnsupported(error) ? false : throw Posix.Failure("rename", to, error);
    }
}
