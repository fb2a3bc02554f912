using System.Buffers;
using System.IO.MemoryMappedFiles;
using Halo.Ir;
using Microsoft.Win32.SafeHandles;

namespace Halo.Io;

/// <summary>A file read through mapped windows or piece by piece, so that its content is never held.</summary>
/// <remarks>The file stays open as long as something refers to it. Replacing it by a rename leaves the open content as it was.</remarks>
internal sealed class MappedFile
{
    private readonly MemoryMappedFile _map;
    private readonly SafeFileHandle _handle;

    public MappedFile(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        FilePlace.RequireRegular(Path);
        _handle = File.OpenHandle(Path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
        SizeBytes = RandomAccess.GetLength(_handle); // of the open file: that of a path to a symbolic link is the link's
        if (SizeBytes == 0)
        {
            _handle.Dispose();
            throw new HaloException("read", Path, "a file with content", "an empty file", "Export or copy it again.");
        }
        _map = MemoryMappedFile.CreateFromFile(_handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
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

    /// <summary>Fills <paramref name="buffer"/> with the bytes from <paramref name="offset"/>.</summary>
    /// <exception cref="HaloException">The file ends before them.</exception>
    public void Read(long offset, Span<byte> buffer)
    {
        for (var at = 0; at < buffer.Length;)
        {
            var count = RandomAccess.Read(_handle, buffer[at..], offset + at);
            if (count == 0)
            {
                throw new HaloException("read", Path, $"{SizeBytes} bytes, as when it was opened", $"an end at {offset + at}",
                    "Leave the file as it is while it is read.");
            }
            at += count;
        }
    }
}

/// <summary>Sees a window of a file.</summary>
internal delegate T ViewReader<out T>(ReadOnlySpan<byte> bytes);

/// <summary>A tensor's bytes as a part of a file.</summary>
internal sealed class FileBytes(MappedFile file, long offset, long sizeBytes) : ITensorBytes
{
    /// <summary>What is read at a time: it stays in the processor's cache while it is looked at.</summary>
    private const int ChunkBytes = 256 << 10;

    public MappedFile File => file;

    public long Offset => offset;

    public long SizeBytes => sizeBytes;

    /// <remarks>Reads, not mapped windows: those cost a page fault every 4 KiB (graph/DECISIONS.md).</remarks>
    public void ReadChunks(ChunkReader chunk)
    {
        var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(ChunkBytes, sizeBytes));
        try
        {
            for (long at = 0; at < sizeBytes; at += ChunkBytes)
            {
                var bytes = buffer.AsSpan(0, (int)Math.Min(ChunkBytes, sizeBytes - at));
                file.Read(offset + at, bytes);
                if (!chunk(bytes))
                    return;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
