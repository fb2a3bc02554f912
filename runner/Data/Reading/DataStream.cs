using Halo.Io;
using ZstdSharp;

namespace Halo.Runner.Data.Reading;

/// <summary>Opens a data file, compressed or not, by what its first bytes say.</summary>
internal static class DataStream
{
    internal const string Reader = "read-data";

    private static readonly string[] Endings = [".gz", ".zst"];

    /// <summary>The file's name as it was before it was compressed.</summary>
    internal static string NameInside(string path) =>
        Endings.FirstOrDefault(e => path.EndsWith(e, StringComparison.OrdinalIgnoreCase)) is { } ending ? path[..^ending.Length] : path;

    /// <exception cref="HaloException">A folder, a pipe, missing, or out of reach.</exception>
    internal static Stream Open(string path)
    {
        if (Directory.Exists(path))
            throw new HaloException(Reader, path, "a data file", "a folder", $"Name a file in it, or a pattern: {Path.Combine(path, "*.jsonl")}.");
        FilePlace.RequireRegular(path);
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1 << 16);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException(Reader, path, "a file that can be read",
                e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : e.Message.TrimEnd('.'), "Check the path.", e);
        }
        Span<byte> start = stackalloc byte[4];
        start = start[..file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
        file.Position = 0;
        return start.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]) ? new ExpandedStream(new WholeGzipStream(file), file, path, "gzip")
            : start.StartsWith((ReadOnlySpan<byte>)[0x28, 0xB5, 0x2F, 0xFD]) ? new ExpandedStream(new DecompressionStream(file, leaveOpen: false), file, path, "Zstandard")
            : file;
    }

    /// <summary>What is in an archive: a damaged one, or one that grows beyond all measure, is refused while it is read.</summary>
    private sealed class ExpandedStream(Stream inner, FileStream file, string path, string form) : ForwardStream
    {
        /// <summary>Text of any kind has less than a tenth of this; an archive of nothing but one row has more, and so has one that is made to fill a disk.</summary>
        private const long MaxRatio = 500;

        /// <summary>Below this the ratio says nothing.</summary>
        private const long FreeBytes = 64L << 20;

        private readonly long _archiveBytes = file.Length;
        private long _total;

        public override int Read(Span<byte> buffer)
        {
            try
            {
                var read = inner.Read(buffer);
                _total += read;
                return _total <= FreeBytes || _total / MaxRatio <= _archiveBytes ? read
                    : throw new HaloException(Reader, path, $"an archive that grows to at most {MaxRatio} times its size", "one that grows further",
                        "Unpack it, look at it, and name what is in it.");
            }
            catch (Exception e) when (e is InvalidDataException or ZstdException or EndOfStreamException or InvalidOperationException or ArgumentException
                or IndexOutOfRangeException or NotSupportedException)
            {
                throw new HaloException(Reader, path, $"a whole {form} archive", $"a damaged or cut one ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')})",
                    "Fetch or write it again.", e);
            }
        }

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            file.Dispose();
            base.Dispose(disposing);
        }
    }
}
