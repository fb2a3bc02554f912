namespace Halo.Runner.Data.Reading;

/// <summary>A stream for readers that take what they ask for as read: at its end it fails, where a <see cref="Stream"/> gives nothing.</summary>
/// <remarks>A reader of Thrift's numbers that takes the -1 of no byte as one more byte would not end; see <see cref="ParquetMetadata"/> for what is read from memory.</remarks>
internal sealed class WholeStream(Stream source) : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => source.Length;

    public override long Position { get => source.Position; set => source.Position = value; }

    public override int ReadByte() => source.ReadByte() is >= 0 and var value ? value : throw End();

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer) => source.Read(buffer) is var count && (count > 0 || buffer.IsEmpty) ? count : throw End();

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is var count && (count > 0 || buffer.IsEmpty) ? count : throw End();

    public override long Seek(long offset, SeekOrigin origin) => source.Seek(offset, origin);

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private EndOfStreamException End() => new($"more was to be read at its end, byte {source.Length}");
}
