namespace Halo.Io;

/// <summary>A file that is written and waits beside its place until another one is written too: both appear, or neither.</summary>
internal sealed class PendingFile : IDisposable
{
    private readonly string _target;
    private readonly string _temporary;
    private bool _isCommitted;

    private PendingFile(string target) => (_target, _temporary) = (target, PartialFiles.For(target));

    /// <summary>Writes the content and brings it onto the disk; nothing is at <paramref name="path"/> until <see cref="Commit"/>.</summary>
    /// <remarks>The temporary file is a new one, never what a link of its name leads to. Those that ended processes left of the same file go.</remarks>
    /// <exception cref="HaloException">The disk is full or fails, or the folder cannot be written; nothing is left behind.</exception>
    public static PendingFile Write(string path, Action<Stream> write)
    {
        var file = new PendingFile(Path.GetFullPath(path));
        if (Directory.Exists(path) || FilePlace.IsPipeOrDevice(path))
        {
            throw new HaloException("write", path, "a file, or nothing yet", Directory.Exists(path) ? "a folder" : "a pipe or device",
                "Choose another output.");
        }
        var isMade = false;
        file.Try(() =>
        {
            DiskSync.MakeFolders(Path.GetDirectoryName(file._target)!);
            PartialFiles.RemoveAbandoned(file._target);
            using var stream = new FileStream(file._temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20);
            isMade = true;
            write(stream);
            stream.Flush();
            DiskSync.File(stream.SafeFileHandle, file._temporary);
        }, () => isMade);
        return file;
    }

    /// <summary>Takes the place of what was there.</summary>
    /// <exception cref="HaloException">The folder cannot be written.</exception>
    public void Commit() => Try(() =>
    {
        File.Move(_temporary, _target, overwrite: true);
        _isCommitted = true;
        DiskSync.Folder(Path.GetDirectoryName(_target)!);
    }, () => !_isCommitted);

    public void Dispose()
    {
        if (!_isCommitted)
            TryDelete();
    }

    private void Try(Action write, Func<bool> leavesTemporary)
    {
        try
        {
            write();
        }
        catch (Exception e)
        {
            if (leavesTemporary())
                TryDelete();
            if (AtomicFile.IsOfTheDisk(e))
                throw AtomicFile.Refusal(_target, e.Message.Replace(_temporary, _target, StringComparison.Ordinal), e);
            throw;
        }
    }

    private void TryDelete()
    {
        try { File.Delete(_temporary); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { /* the first failure is the one to report */ }
    }
}
