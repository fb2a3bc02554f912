using System.Runtime.InteropServices;

namespace Halo.Ir;

/// <summary>A constant: element type, sizes, and bytes that may still lie in a file.</summary>
public sealed class Tensor
{
    private readonly ITensorBytes _bytes;

    public Tensor(ElementType type, IReadOnlyList<long> sizes, ITensorBytes bytes)
    {
        Type = type;
        Sizes = [.. sizes];
        _bytes = bytes;
        ElementCount = Sizes.Aggregate(1L, (a, b) => checked(a * b));
        if (type != ElementType.String && bytes.SizeBytes != type.SizeBytes(ElementCount))
        {
            throw new ArgumentException(
                $"a {type.Name()} tensor of sizes [{string.Join(", ", Sizes)}] takes {type.SizeBytes(ElementCount)} bytes, not {bytes.SizeBytes}");
        }
    }

    public ElementType Type { get; }

    public IReadOnlyList<long> Sizes { get; }

    public long ElementCount { get; }

    /// <summary>Bytes as in <c>raw_data</c>: little-endian, sub-byte types packed low bits first.</summary>
    public long SizeBytes => _bytes.SizeBytes;

    public Shape Shape => Shape.Of([.. Sizes]);

    /// <summary>The strings of a string tensor; null for every other type.</summary>
    public IReadOnlyList<byte[]>? Strings => (_bytes as StringBytes)?.Strings;

    /// <summary>Where the bytes are, for who can read them in another way than as bytes.</summary>
    public ITensorBytes Content => _bytes;

    /// <summary>True where reading the content reads a file.</summary>
    public bool IsInFile => _bytes is not MemoryBytes and not StringBytes;

    public static Tensor Of<T>(ElementType type, ReadOnlySpan<long> sizes, ReadOnlySpan<T> elements) where T : unmanaged =>
        new(type, sizes.ToArray(), new MemoryBytes(MemoryMarshal.AsBytes(elements).ToArray()));

    public static Tensor Scalar(float value) => Of(ElementType.Float, [], [value]);

    public static Tensor Scalar(long value) => Of(ElementType.Int64, [], [value]);

    public static Tensor Int64s(params ReadOnlySpan<long> values) => Of(ElementType.Int64, [values.Length], values);

    public static Tensor Floats(ReadOnlySpan<long> sizes, ReadOnlySpan<float> values) => Of(ElementType.Float, sizes, values);

    public static Tensor OfStrings(IReadOnlyList<long> sizes, IReadOnlyList<byte[]> strings) => new(ElementType.String, sizes, new StringBytes(strings));

    /// <summary>Calls <paramref name="chunk"/> with consecutive pieces of the content, whole elements each, until it returns false.</summary>
    public void ReadChunks(ChunkReader chunk) => _bytes.ReadChunks(chunk);

    /// <summary>The whole content. For constants known to be small; weights are read in chunks.</summary>
    public byte[] ToBytes()
    {
        var result = new byte[checked((int)SizeBytes)];
        var at = 0;
        ReadChunks(bytes =>
        {
            bytes.CopyTo(result.AsSpan(at));
            at += bytes.Length;
            return true;
        });
        return result;
    }

    public T[] ToArray<T>() where T : unmanaged => MemoryMarshal.Cast<byte, T>(ToBytes()).ToArray();

    /// <summary>The elements of an int64 or int32 tensor.</summary>
    public long[] ToInt64s() => Type switch
    {
        ElementType.Int64 => ToArray<long>(),
        ElementType.Int32 => Array.ConvertAll(ToArray<int>(), v => (long)v),
        _ => throw new InvalidOperationException($"not an integer tensor: {this}"),
    };

    /// <summary>The same bytes under other sizes.</summary>
    public Tensor Reshaped(IReadOnlyList<long> sizes) => new(Type, sizes, _bytes);

    public override string ToString() => $"{Type.Name()}[{string.Join(", ", Sizes)}]";
}

/// <summary>Sees one piece of a tensor's content; returns false to stop.</summary>
public delegate bool ChunkReader(ReadOnlySpan<byte> bytes);

/// <summary>Where a tensor's bytes are.</summary>
public interface ITensorBytes
{
    long SizeBytes { get; }

    void ReadChunks(ChunkReader chunk);
}

/// <summary>Bytes in memory.</summary>
internal sealed class MemoryBytes(ReadOnlyMemory<byte> bytes) : ITensorBytes
{
    public long SizeBytes => bytes.Length;

    public void ReadChunks(ChunkReader chunk)
    {
        if (!bytes.IsEmpty)
            chunk(bytes.Span);
    }
}

/// <summary>The strings of a string tensor, which have no raw form.</summary>
internal sealed class StringBytes(IReadOnlyList<byte[]> strings) : ITensorBytes
{
    public IReadOnlyList<byte[]> Strings => strings;

    public long SizeBytes => strings.Sum(s => (long)s.Length);

    public void ReadChunks(ChunkReader chunk) => throw new InvalidOperationException("a string tensor has no raw bytes");
}
