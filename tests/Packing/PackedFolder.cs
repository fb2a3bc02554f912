using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Halo.Ir;

namespace Halo.Tests.Packing;

/// <summary>What a run of bytes in a file of a packed folder is.</summary>
internal enum Piece : byte
{
    /// <summary>A length and the bytes.</summary>
    Bytes,

    /// <summary>A count and float32 values: all of their lowest bytes, then all of the next; the sign last, so that the highest byte is the exponent.</summary>
    Floats,

    /// <summary>
    /// A count, an offset, and how far each value of <see cref="TorchDraws"/> is off: the difference of the bit patterns, 0, -1, 1, -2 and so on counted from 0,
    /// in planes of bytes as <see cref="Floats"/> are.
    /// </summary>
    Draws,

    /// <summary>A place in the first file, rows and columns: float32 values of there, rounded to bfloat16 or not, transposed or not.</summary>
    Same, SameTransposed, SameRounded, SameRoundedTransposed,
}

/// <summary>A folder in one file: the exports' checkpoint, and what repeats it, take the place of a few words. See Fixtures/README.md.</summary>
internal static class PackedFolder
{
    public const float Deviation = 0.02f; // initializer_range of every export's config.json

    /// <exception cref="InvalidDataException">A file is not what was packed.</exception>
    public static void Unpack(string path, string folder)
    {
        using var packed = new BinaryReader(new BrotliStream(File.OpenRead(path), CompressionMode.Decompress));
        var draws = new TorchDraws(packed.ReadUInt32());
        byte[]? first = null;
        for (var files = packed.ReadInt32(); files > 0; files--)
        {
            var name = packed.ReadString();
            var bytes = new MemoryStream();
            for (var pieces = packed.ReadInt32(); pieces > 0; pieces--)
                bytes.Write(Read(packed, draws, first));
            var content = bytes.ToArray();
            if (!packed.ReadBytes(SHA256.HashSizeInBytes).AsSpan().SequenceEqual(SHA256.HashData(content)))
                throw new InvalidDataException($"{path}: {name}: other bytes than were packed. The logarithm or cosine of this machine rounds otherwise.");
            first ??= content;
            File.WriteAllBytes(Path.Combine(folder, name), content);
        }
    }

    /// <summary>The bit pattern with the sign at the end, and back.</summary>
    public static uint SignLast(float value) => uint.RotateLeft(BitConverter.SingleToUInt32Bits(value), 1);

    public static float Float(uint signLast) => BitConverter.UInt32BitsToSingle(uint.RotateRight(signLast, 1));

    /// <summary>How far a value is from a draw, with the sign last, and the value again.</summary>
    public static uint Off(float value, float draw)
    {
        var off = BitConverter.SingleToInt32Bits(value) - BitConverter.SingleToInt32Bits(draw);
        return (uint)((off << 1) ^ (off >> 31));
    }

    public static float Draw(float draw, uint off) =>
        BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(draw) + ((int)(off >> 1) ^ -(int)(off & 1)));

    /// <summary>The values of a matrix in another order, or rounded to bfloat16, as a graph may hold them.</summary>
    public static byte[] Changed(Piece piece, ReadOnlySpan<float> matrix, int rows, int columns)
    {
        var values = matrix.ToArray();
        if (piece is Piece.SameTransposed or Piece.SameRoundedTransposed)
        {
            for (var at = 0; at < values.Length; at++)
                values[at] = matrix[at % rows * columns + at / rows];
        }
        if (piece is Piece.Same or Piece.SameTransposed)
            return MemoryMarshal.AsBytes<float>(values).ToArray();
        var bytes = new byte[2 * values.Length];
        FloatConversions.FromFloat(ElementType.BFloat16, values, bytes);
        return bytes;
    }

    private static byte[] Read(BinaryReader packed, TorchDraws draws, byte[]? first)
    {
        var piece = (Piece)packed.ReadByte();
        var count = packed.ReadInt32();
        switch (piece)
        {
            case Piece.Bytes:
                return packed.ReadBytes(count);
            case Piece.Floats:
                return MemoryMarshal.AsBytes<float>(Array.ConvertAll(Planes(packed, count), Float)).ToArray();
            case Piece.Draws:
                var values = draws.Normal(packed.ReadInt32(), count, Deviation);
                var off = Planes(packed, count);
                for (var at = 0; at < count; at++)
                    values[at] = Draw(values[at], off[at]);
                return MemoryMarshal.AsBytes<float>(values).ToArray();
            default:
                var (place, rows) = (count, packed.ReadInt32());
                var columns = packed.ReadInt32();
                return Changed(piece, MemoryMarshal.Cast<byte, float>(first.AsSpan(place, 4 * rows * columns)), rows, columns);
        }
    }

    private static uint[] Planes(BinaryReader packed, int count)
    {
        var bytes = packed.ReadBytes(4 * count);
        return [.. Enumerable.Range(0, count).Select(at =>
            bytes[at] | (uint)bytes[count + at] << 8 | (uint)bytes[2 * count + at] << 16 | (uint)bytes[3 * count + at] << 24)];
    }
}
