using Microsoft.Win32.SafeHandles;

namespace Halo.Io;

/// <summary>A file's bytes from first to last, in pieces of 1 MiB but for the last one, less those that are zeros from end to end.</summary>
/// <remarks>Holes of a sparse file, which have no place on the disk, are not read.</remarks>
internal static class FileScan
{
    private const int PieceBytes = 1 << 20;

    public delegate void Piece(long offset, ReadOnlySpan<byte> bytes);

    /// <returns>The size of the file.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static long Read(string path, Piece piece)
    {
        using var handle = File.OpenHandle(path, options: FileOptions.SequentialScan);
        var size = RandomAccess.GetLength(handle);
        var buffer = new byte[PieceBytes];
        for (var at = NextData(handle, 0, size); at < size; at = NextData(handle, at + PieceBytes, size))
        {
            var bytes = buffer.AsSpan(0, (int)Math.Min(PieceBytes, size - at));
            for (int filled = 0, read; filled < bytes.Length; filled += read)
            {
                if ((read = RandomAccess.Read(handle, bytes[filled..], at + filled)) == 0)
                    throw new IOException($"{path} became shorter while it was read");
            }
            if (bytes.ContainsAnyExcept((byte)0))
                piece(at, bytes);
        }
        return size;
    }

    /// <summary>The piece of the next byte from <paramref name="at"/> on that is in no hole; the next one where the file system does not say.</summary>
    private static long NextData(SafeFileHandle file, long at, long size)
    {
        if (!OperatingSystem.IsLinux() || at >= size)
            return at;
        var found = Posix.Seek(file, at, Posix.ToData);
        return found >= 0 ? Math.Max(at, found / PieceBytes * PieceBytes) : Posix.IsPastData() ? size : at;
    }
}
