namespace Halo.Runner.Data.Reading;

/// <summary>The bytes of a stream from some place on, as many as whoever looks for the end of a row needs.</summary>
/// <param name="stream">Read in order, once.</param>
internal sealed class ByteWindow(Stream stream)
{
    /// <summary>A row of more is no row.</summary>
    internal const int MaxRowBytes = 1 << 28;

    private byte[] _bytes = new byte[1 << 16];
    private int _start, _end;

    /// <summary>What is there.</summary>
    internal ReadOnlySpan<byte> Span => _bytes.AsSpan(_start, _end - _start);

    /// <summary>The first of it; valid until more is read.</summary>
    internal ReadOnlyMemory<byte> Memory(int length) => _bytes.AsMemory(_start, length);

    internal bool IsFull => _end - _start >= MaxRowBytes;

    /// <summary>Lets go of the first bytes.</summary>
    internal void Skip(int count) => _start += count;

    /// <summary>Reads on behind what is there.</summary>
    /// <returns>False at the stream's end.</returns>
    internal bool More()
    {
        if (_start > 0)
        {
            Span.CopyTo(_bytes);
            (_start, _end) = (0, _end - _start);
        }
        if (_end == _bytes.Length)
            Array.Resize(ref _bytes, _bytes.Length * 2);
        var read = stream.Read(_bytes, _end, _bytes.Length - _end);
        _end += read;
        return read > 0;
    }

    /// <summary>Passes over a byte order mark.</summary>
    internal void SkipMark()
    {
        while (Span.Length < 3 && More()) { }
        if (Span.StartsWith("\uFEFF"u8))
            Skip(3);
    }
}
