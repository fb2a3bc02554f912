using System.Buffers.Binary;

namespace Halo.Runner.Data.Reading;

/// <summary>Walks over what a Parquet file says of itself, its footer and the headers of its pages, before a library that trusts them reads them.</summary>
/// <remarks>
/// Thrift's compact protocol, with the structures of parquet.thrift [Apache Parquet 2.11]. Parquet.Net 6.1 reads each field as the type that it ought to have, and past
/// the end of a footer for ever: a file is read where every field has its type, every length fits, and structures are at most 32 deep.
/// </remarks>
internal ref struct ParquetMetadata
{
    private const int True = 1, False = 2, Byte = 3, Int16 = 4, Int32 = 5, Int64 = 6, Double = 7, Text = 8, List = 9, Set = 10, Structure = 12, Uuid = 13;
    private const int MaxDepth = 32, HeaderBytes = 1 << 20;

    private static readonly Kind I16 = new(Int16), I32 = new(Int32), I64 = new(Int64), F64 = new(Double), I8 = new(Byte), Flag = new(True), Bytes = new(Text);
    private static readonly Kind Empty = Of(), KeyValues = ListOf(Of(Bytes, Bytes)), TimeUnit = Of(Empty, Empty, Empty);
    private static readonly Kind Statistics = Of(Bytes, Bytes, I64, I64, Bytes, Bytes, Flag, Flag), Key = Of(Bytes, Bytes, Flag);

    private static readonly Kind LogicalType = Of(Empty, Empty, Empty, Empty, Of(I32, I32), Empty, Of(Flag, TimeUnit), Of(Flag, TimeUnit), Empty, Of(I8, Flag), Empty, Empty, Empty,
        Empty, Empty, Of(I8), Of(Bytes), Of(Bytes, I32));

    private static readonly Kind Column = Of(I32, ListOf(I32), ListOf(Bytes), I32, I64, I64, I64, KeyValues, I64, I64, I64, Statistics, ListOf(Of(I32, I32, I32)), I64, I32,
        Of(I64, ListOf(I64), ListOf(I64)), Of(Of(F64, F64, F64, F64, F64, F64, F64, F64), ListOf(I32)));

    private static readonly Kind Chunk = Of(Bytes, I64, Column, I64, I32, I64, I32, Of(Empty, Of(ListOf(Bytes), Bytes)), Bytes);
    private static readonly Kind Group = Of(ListOf(Chunk), I64, I64, ListOf(Of(I32, Flag, Flag)), I64, I64, I16);

    private static readonly Kind File = Of(I32, ListOf(Of(I32, I32, I32, Bytes, I32, I32, I32, I32, I32, LogicalType)), I64, ListOf(Group), KeyValues, Bytes, ListOf(Of(Empty)),
        Of(Key, Key), Bytes);

    private static readonly Kind Page = Of(I32, I32, I32, I32, Of(I32, I32, I32, I32, Statistics), Empty, Of(I32, I32, Flag), Of(I32, I32, I32, I32, I32, I32, Flag, Statistics));

    private readonly ReadOnlySpan<byte> _bytes;
    private int _at;
    private long _pageBytes;

    private ParquetMetadata(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>Fails unless the footer, the last of a file, can be read by the types of its fields.</summary>
    /// <exception cref="InvalidDataException">It cannot; the message says at which byte, and why.</exception>
    internal static void CheckFooter(Stream stream)
    {
        Span<byte> end = stackalloc byte[8];
        if (stream.Length < 12)
            throw new InvalidDataException($"{stream.Length} bytes are no Parquet file");
        stream.Position = stream.Length - 8;
        stream.ReadExactly(end);
        var length = BinaryPrimitives.ReadInt32LittleEndian(end);
        if (!end[4..].SequenceEqual("PAR1"u8) || length < 0 || length > stream.Length - 12)
            throw new InvalidDataException("the end has no length of a footer and PAR1");
        var footer = new byte[length];
        stream.Position = stream.Length - 8 - length;
        stream.ReadExactly(footer);
        new ParquetMetadata(footer).Value(Structure, File, 0);
        stream.Position = 0;
    }

    /// <summary>Fails unless the pages of a column, one behind the other, fill its bytes.</summary>
    /// <param name="stream">The file; it is left at its begin.</param>
    /// <param name="offset">Of the first page, from the file's begin.</param>
    /// <param name="bytes">Of all pages, with their headers.</param>
    /// <exception cref="InvalidDataException">They do not.</exception>
    internal static void CheckPages(Stream stream, long offset, long bytes)
    {
        if (offset < 4 || bytes < 0 || offset > stream.Length - bytes)
            throw new InvalidDataException($"a column of {bytes} bytes at {offset} in a file of {stream.Length}");
        var buffer = new byte[Math.Min(HeaderBytes, bytes)];
        for (var (at, end) = (offset, offset + bytes); at < end;)
        {
            stream.Position = at;
            var header = new ParquetMetadata(buffer.AsSpan(0, stream.ReadAtLeast(buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - at)), 1)));
            header.Value(Structure, Page, 0);
            if (header._pageBytes < 0 || header._pageBytes > end - at - header._at)
                throw new InvalidDataException($"a page of {header._pageBytes} bytes at {at}, behind which its column has {end - at - header._at}");
            at += header._at + header._pageBytes;
        }
        stream.Position = 0;
    }

    private void Value(int type, Kind? kind, int depth)
    {
        if (kind is not null && type != kind.Type && (type, kind.Type) is not (False, True))
            throw Bad($"a field of type {type} where {kind.Type} ought to be");
        if (depth > MaxDepth)
            throw Bad($"more than {MaxDepth} structures in each other");
        switch (type)
        {
            case True or False: break; // in the field's head
            case Byte: Skip(1); break;
            case Int16 or Int32 or Int64: Number(); break;
            case Double: Skip(8); break;
            case Uuid: Skip(16); break;
            case Text: Skip(Number()); break;
            case List or Set: Elements(kind?.Element, depth); break;
            case Structure: Fields(kind?.Fields, depth); break;
            default: throw Bad($"a field of type {type}");
        }
    }

    private void Elements(Kind? element, int depth)
    {
        var head = Next();
        var (count, type) = (head >> 4 is < 15 and var few ? (ulong)few : Number(), head & 15);
        if (count > (ulong)(_bytes.Length - _at) || type is True or False)
            throw Bad($"a list of {count} elements of type {type} in the {_bytes.Length - _at} bytes left");
        for (; count > 0; count--)
            Value(type, element, depth + 1);
    }

    private void Fields(Kind[]? kinds, int depth)
    {
        for (long id = 0; Next() is not 0 and var head;)
        {
            id = head >> 4 is not 0 and var step ? id + step : Signed(Number());
            var begin = _at;
            Value(head & 15, kinds is not null && id > 0 && id <= kinds.Length ? kinds[id - 1] : null, depth + 1);
            if (depth == 0 && id == 3 && kinds == Page.Fields)
                _pageBytes = Signed(new ParquetMetadata(_bytes[begin..]).Number());
        }
    }

    private static long Signed(ulong zigzag) => (long)(zigzag >> 1) ^ -(long)(zigzag & 1);

    private ulong Number()
    {
        var value = 0UL;
        for (var shift = 0; shift < 64; shift += 7)
        {
            var part = Next();
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
                return value;
        }
        throw Bad("a number of more than ten bytes");
    }

    private int Next() => _at < _bytes.Length ? _bytes[_at++] : throw Bad("more than there is");

    private void Skip(ulong count)
    {
        if (count > (ulong)(_bytes.Length - _at))
            throw Bad($"{count} bytes where {_bytes.Length - _at} are left");
        _at += (int)count;
    }

    private readonly InvalidDataException Bad(string what) => new($"metadata has {what}, at byte {_at} of {_bytes.Length}");

    private static Kind Of(params Kind[] fields) => new(Structure, fields);

    private static Kind ListOf(Kind element) => new(List, Element: element);

    /// <summary>A type of the compact protocol; of a structure the fields from 1 on, of a list its elements.</summary>
    private sealed record Kind(int Type, Kind[]? Fields = null, Kind? Element = null);
}
