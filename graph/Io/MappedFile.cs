using System.IO.MemoryMappedFiles;
using Halo.Ir;

namespace Halo.Io;

/// <summary>A file read through memory-mapped windows, so that its content is never held.</summary>
/// <remarks>The file stays open as long as something refers to it. Replacing it by a rename leaves the open content as it was.</remarks>
public sealed class MappedFile
{
    private readonly MemoryMappedFile _map;

    public MappedFile(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        SizeBytes = new FileInfo(Path).Length;
        if (SizeBytes == 0)
            throw new HaloException("read", Path, "a file with content", "an empty file", "Export or copy it again.");
        _map = MemoryMappedFile.CreateFromFile(
            new FileStream(Path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete), null, 0, MemoryMappedFileAccess.Read,
            HandleInheritability.None, false);
    }

    public string Path { get; }

    public long SizeBytes { get; }

    /// <summary>Lets <paramref name="read"/> see <paramref name="length"/> bytes from <paramref name="offset"/>; the view ends when it returns.</summary>
    public unsafe T View<T>(long offset, int length, ViewReader<T> read)
    {
        using var view = _map.CreateViewAccessor(offset, length, MemoryMappedFileAccess.Read);
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        try
        {
            return read(new ReadOnlySpan<byte>(start + view.PointerOffset, length));
        }
        finally
        {
            view.SafeMemoryMappedViewHandle.ReleasePointer();
        }
    }
}

/// <summary>Sees a window of a file.</summary>
public delegate T ViewReader<out T>(ReadOnlySpan<byte> bytes);

/// <summary>A tensor's bytes as a part of a file.</summary>
public sealed class FileBytes(MappedFile file, long offset, long sizeBytes) : ITensorBytes
{
    /// <summary>The window that is mapped at a time: large enough to stream at the disk's rate, small enough to stay out of the way.</summary>
    private const int WindowBytes = 16 << 20;

    public MappedFile File => file;

    public long Offset => offset;

    public long SizeBytes => sizeBytes;

    public void ReadChunks(ChunkReader chunk)
    {
        for (long at = 0; at < sizeBytes; at += WindowBytes)
        {
            if (!file.View(offset + at, (int)Math.Min(WindowBytes, sizeBytes - at), bytes => chunk(bytes)))
                return;
        }
    }
}
