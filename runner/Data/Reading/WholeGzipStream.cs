using System.IO.Compression;

namespace Halo.Runner.Data.Reading;

/// <summary>What is in a gzip archive, to its end: .NET's own stream takes one that was cut for one that ends there.</summary>
/// <remarks>
/// An archive may have several members, one behind the other. So one more is put behind it, whose content is known: it comes out last where all before it is
/// whole, and is taken for the missing rest where something is cut.
/// </remarks>
/// <param name="archive">Owned from then on.</param>
internal sealed class WholeGzipStream(Stream archive) : ForwardStream
{
    private static readonly byte[] End = [0xFF, 0xC0, .. "end of the archive"u8, 0xFE, 0xC1];
    private static readonly byte[] EndMember = Compressed(End);

    private readonly GZipStream _inner = new(new Followed(archive, EndMember), CompressionMode.Decompress);
    private readonly byte[] _buffer = new byte[1 << 16];
    private int _start, _end;
    private bool _isDone;

    /// <exception cref="InvalidDataException">The archive is damaged or cut.</exception>
    public override int Read(Span<byte> buffer)
    {
        while (!_isDone && _end - _start <= End.Length) // what may be the end is held back
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
            var read = _inner.Read(_buffer, _end, _buffer.Length - _end);
            _end += read;
            if (read > 0)
                continue;
            _isDone = true;
            if (!_buffer.AsSpan(_start, _end - _start).EndsWith(End))
                throw new InvalidDataException("its end is missing");
            _end -= End.Length;
        }
        var count = Math.Min(buffer.Length, Math.Max(0, _end - _start - (_isDone ? 0 : End.Length)));
        _buffer.AsSpan(_start, count).CopyTo(buffer);
        _start += count;
        return count;
    }

    protected override void Dispose(bool disposing)
    {
        _inner.Dispose();
        archive.Dispose();
        base.Dispose(disposing);
    }

    private static byte[] Compressed(byte[] content)
    {
        using var stream = new MemoryStream();
        using (var gzip = new GZipStream(stream, CompressionLevel.Fastest))
            gzip.Write(content);
        return stream.ToArray();
    }

    /// <summary>A stream, and bytes behind it.</summary>
    private sealed class Followed(Stream first, byte[] rest) : ForwardStream
    {
        private int _done;

        public override int Read(Span<byte> buffer)
        {
            if (first.Read(buffer) is > 0 and var read)
                return read;
            var count = Math.Min(buffer.Length, rest.Length - _done);
            rest.AsSpan(_done, count).CopyTo(buffer);
            _done += count;
            return count;
        }
    }
}
