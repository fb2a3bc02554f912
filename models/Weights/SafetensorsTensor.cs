using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Models.Weights;

/// <summary>A tensor inside a memory-mapped <see cref="SafetensorsFile"/>; valid until that file is disposed.</summary>
public sealed class SafetensorsTensor : ITensorBytes
{
    private const int ChunkBytes = 1 << 20;
    private readonly SafetensorsFile _file;
    private readonly long[] _shape;

    internal SafetensorsTensor(SafetensorsFile file, SafetensorsEntry entry)
    {
        (_file, Name, DType, _shape, Offset, SizeBytes) = (file, entry.Name, entry.DType, entry.Shape, entry.Offset, entry.SizeBytes);
    }

    /// <summary>The same tensor under another name.</summary>
    internal SafetensorsTensor Named(string name) => new(_file, new SafetensorsEntry(name, DType, _shape, Offset, SizeBytes));

    public string Name { get; }
    public ElementType DType { get; }
    public IReadOnlyList<long> Shape => _shape;

    /// <summary>Bytes from the end of the header to the first element.</summary>
    public long Offset { get; }
    public long SizeBytes { get; }
    public long ElementCount => _shape.Aggregate(1L, (a, b) => a * b);

    /// <summary>All bytes, in place; row-major, little-endian.</summary>
    /// <exception cref="HaloException">2 GiB or more: read it in parts with <see cref="Slice"/>.</exception>
    public ReadOnlySpan<byte> Bytes() => SizeBytes <= int.MaxValue ? Slice(0, (int)SizeBytes)
        : throw new HaloException("read-safetensors", Subject, "fewer than 2^31 bytes", $"{SizeBytes}", "Read the tensor in parts.");

    /// <summary>Some of the bytes, in place.</summary>
    public ReadOnlySpan<byte> Slice(long offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, SizeBytes - offset);
        return _file.Data(Offset + offset, length);
    }

    /// <summary>Copies <c>target.Length</c> bytes from byte <paramref name="offset"/> of the tensor.</summary>
    public void CopyTo(Span<byte> target, long offset = 0) => Slice(offset, target.Length).CopyTo(target);

    /// <summary>Writes all bytes, in parts, so that a tensor of any size passes.</summary>
    public void CopyTo(Stream target)
    {
        for (var at = 0L; at < SizeBytes; at += ChunkBytes) target.Write(Slice(at, (int)Math.Min(ChunkBytes, SizeBytes - at)));
    }

    /// <summary>Consecutive pieces of at most 1 MiB, whole elements each; so that an <see cref="Ir.Tensor"/> can be this one without a copy.</summary>
    public void ReadChunks(ChunkReader chunk)
    {
        for (var at = 0L; at < SizeBytes; at += ChunkBytes)
            if (!chunk(Slice(at, (int)Math.Min(ChunkBytes, SizeBytes - at)))) return;
    }

    /// <summary>The elements as float32, row-major; from F32, F16, BF16 or F64.</summary>
    /// <exception cref="HaloException">Another dtype.</exception>
    public float[] ReadFloats() => ReadFloats(0, ElementCount);

    /// <summary>Some of them, from one of them on.</summary>
    /// <exception cref="HaloException">Another dtype.</exception>
    public float[] ReadFloats(long first, long count)
    {
        var result = new float[Count("floating point", DType.IsFloat(), count)];
        for (long at = 0, step = ChunkBytes / (DType.Bits() / 8); at < result.Length; at += step)
        {
            var part = result.AsSpan((int)at, (int)Math.Min(step, result.Length - at));
            FloatConversions.ToFloat(DType, Slice((first + at) * (DType.Bits() / 8), part.Length * (DType.Bits() / 8)), part);
        }
        return result;
    }

    /// <summary>The elements as 64-bit integers, row-major; from any integer dtype but U64, or BOOL (0 and 1).</summary>
    /// <exception cref="HaloException">Another dtype.</exception>
    public long[] ReadLongs()
    {
        var isInteger = DType is ElementType.Bool or ElementType.UInt8 or ElementType.Int8 or ElementType.UInt16 or ElementType.Int16
            or ElementType.UInt32 or ElementType.Int32 or ElementType.Int64;
        var result = new long[Count("integers that fit 64 signed bits", isInteger, ElementCount)];
        for (var i = 0L; i < result.LongLength; i++)
        {
            var at = Slice(i * (DType.Bits() / 8), DType.Bits() / 8);
            result[i] = DType switch
            {
                ElementType.Bool => at[0] == 0 ? 0 : 1,
                ElementType.UInt8 => at[0],
                ElementType.Int8 => (sbyte)at[0],
                ElementType.UInt16 => MemoryMarshal.Read<ushort>(at),
                ElementType.Int16 => MemoryMarshal.Read<short>(at),
                ElementType.UInt32 => MemoryMarshal.Read<uint>(at),
                ElementType.Int32 => MemoryMarshal.Read<int>(at),
                _ => MemoryMarshal.Read<long>(at),
            };
        }
        return result;
    }

    internal string FilePath => _file.Path;

    private string Subject => $"{_file.Path}, tensor '{Name}'";

    private int Count(string expected, bool isSupported, long count)
    {
        if (!isSupported) throw new HaloException("read-safetensors", Subject, expected, DType.Name(), "Convert the tensor first.");
        return count <= Array.MaxLength ? (int)count
            : throw new HaloException("read-safetensors", Subject, $"at most {Array.MaxLength} elements", $"{count}",
                "Read the tensor's bytes in parts.");
    }
}
