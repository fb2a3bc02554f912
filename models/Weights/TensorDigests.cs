using System.Buffers.Binary;
using System.IO.Hashing;

namespace Halo.Models.Weights;

/// <summary>A digest for all bytes of each tensor of a file: XXH3 of 64 bits, as fast as memory is read. It finds accidents, not forgery.</summary>
internal static class TensorDigests
{
    /// <summary>Of a tensor as it lies in its file; 16 hexadecimal digits.</summary>
    public static string Of(SafetensorsTensor tensor)
    {
        var hash = new XxHash3();
        tensor.ReadChunks(bytes =>
        {
            hash.Append(bytes);
            return true;
        });
        return Text(hash);
    }

    /// <summary>Throws unless a file has the tensors that were written, bit for bit.</summary>
    /// <param name="file">Is read as a whole.</param>
    /// <param name="written">By tensor, as <see cref="SafetensorsWriter"/> gave them.</param>
    /// <param name="advice">What to do about another one.</param>
    /// <param name="share">Of that many readers the bytes of tensor n are read by number n modulo their number: number and how many; null: by this one.</param>
    /// <exception cref="HaloException">A tensor is missing, too many, or has other bytes.</exception>
    public static void Check(SafetensorsFile file, IReadOnlyDictionary<string, string> written, string advice, (int Number, int Of)? share = null)
    {
        foreach (var (index, (name, digest)) in written.Index())
        {
            if (!file.Tensors.TryGetValue(name, out var tensor))
                throw new HaloException("checkpoint", file.Path, $"tensor '{name}', which was written", "no such tensor", advice);
            if (share is { } part && index % part.Of != part.Number)
                continue;
            if (Of(tensor) is var found && found != digest)
            {
                throw new HaloException("checkpoint", $"{file.Path}: '{name}'", $"the bytes that were written (XXH3 {digest})", $"others (XXH3 {found})",
                    advice);
            }
        }
        if (file.Tensors.Keys.FirstOrDefault(name => !written.ContainsKey(name)) is { } extra)
            throw new HaloException("checkpoint", file.Path, "the tensors that were written", $"'{extra}' besides", advice);
    }

    internal static string Text(XxHash3 hash)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, hash.GetCurrentHashAsUInt64());
        return Convert.ToHexStringLower(bytes);
    }
}

/// <summary>Hands bytes on, counts them, and hashes them on the way.</summary>
internal sealed class HashedStream(Stream inner) : Stream
{
    private readonly XxHash3 _hash = new();
    private long _count;

    public string Digest => TensorDigests.Text(_hash);

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => _count;

    public override long Position { get => _count; set => throw new NotSupportedException(); }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        inner.Write(buffer);
        _hash.Append(buffer);
        _count += buffer.Length;
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush() => inner.Flush();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
