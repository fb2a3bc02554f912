using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Halo.Io;
using Halo.Ir;
using Halo.Serialization.Proto;

namespace Halo.Serialization;

/// <summary>TensorProto to <see cref="Tensor"/>: raw bytes stay in their file, typed fields become raw bytes.</summary>
internal sealed class TensorReader(string modelPath)
{
    private const int RawDataField = 9;
    private readonly string _folder = Path.GetDirectoryName(Path.GetFullPath(modelPath))!;
    private readonly Dictionary<string, MappedFile> _externalFiles = new(StringComparer.Ordinal);

    /// <summary>Reads an initializer whose message lies at <paramref name="start"/> of <paramref name="file"/>, leaving its raw data there.</summary>
    public (string Name, Tensor Tensor) ReadInitializer(ReadOnlySpan<byte> message, MappedFile file, long start)
    {
        Range? raw = null;
        var scanner = new WireScanner(message);
        var rest = new List<byte>();
        while (scanner.Next())
        {
            if (scanner is { Field: RawDataField, IsLengthDelimited: true })
                raw = scanner.Content;
            else
                rest.AddRange(message[scanner.Whole]);
        }
        var proto = TensorProto.Parser.ParseFrom(CollectionsMarshal.AsSpan(rest));
        if (raw is not { } content)
            return (proto.Name, Read(proto));
        var (offset, length) = content.GetOffsetAndLength(message.Length);
        // Small contents are copied: a mapped window costs more than they do.
        ITensorBytes bytes = length <= 4096 ? new MemoryBytes(message[content].ToArray()) : new FileBytes(file, start + offset, length);
        return (proto.Name, Make(proto, bytes));
    }

    /// <summary>Reads a tensor that was parsed whole (attributes, typed fields, external data).</summary>
    public Tensor Read(TensorProto proto)
    {
        if (proto.Segment is not null)
            throw Defect(proto, "a whole tensor", "a segment of one");
        var type = (ElementType)proto.DataType;
        if (proto.DataLocation == TensorProto.Types.DataLocation.External)
            return Make(proto, External(proto, type));
        if (type == ElementType.String)
        {
            if (proto.StringData.Count != Count(proto))
                throw Defect(proto, $"{Count(proto)} strings", $"{proto.StringData.Count}");
            return Tensor.OfStrings(proto.Dims, [.. proto.StringData.Select(s => s.ToByteArray())]);
        }
        return Make(proto, new MemoryBytes(proto.HasRawData ? proto.RawData.ToByteArray() : TypedData(proto, type)));
    }

    private Tensor Make(TensorProto proto, ITensorBytes bytes)
    {
        var type = (ElementType)proto.DataType;
        if (type.Bits() == 0)
            throw Defect(proto, "an element type of ONNX", $"type {proto.DataType}");
        var expected = type.SizeBytes(Count(proto));
        if (bytes.SizeBytes != expected)
            throw Defect(proto, $"{expected} bytes of {type.Name()}[{string.Join(", ", proto.Dims)}]", $"{bytes.SizeBytes}");
        return new Tensor(type, proto.Dims, bytes);
    }

    private FileBytes External(TensorProto proto, ElementType type)
    {
        var entries = proto.ExternalData.GroupBy(e => e.Key).ToDictionary(g => g.Key, g => g.Last().Value, StringComparer.Ordinal);
        if (!entries.TryGetValue("location", out var location) || location.Length == 0)
            throw Defect(proto, "external data with a location", "none");
        var path = Path.GetFullPath(Path.Combine(_folder, location));
        if (Path.IsPathRooted(location)
            || !path.StartsWith(_folder.TrimEnd(Path.DirectorySeparatorChar) + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            throw Defect(proto, "external data inside the model's folder", $"'{location}'", "Move the data beside the model and correct its location.");
        if (!_externalFiles.TryGetValue(path, out var file))
        {
            if (!File.Exists(path))
                throw Defect(proto, $"external data in '{location}'", "no such file", "Copy it beside the model.");
            var real = FilePlace.WithoutLinks(path);
            if (!Places().Any(place => real.StartsWith(place.TrimEnd(Path.DirectorySeparatorChar) + Path.DirectorySeparatorChar, StringComparison.Ordinal)))
                throw Defect(proto, "external data inside the model's folder", $"'{location}', a link to {real}", "Put the file itself beside the model.");
            _externalFiles[path] = file = new MappedFile(path);
        }
        var offset = Number("offset", 0);
        var length = Number("length", type.SizeBytes(Count(proto)));
        if (offset < 0 || length < 0 || offset > file.SizeBytes || length > file.SizeBytes - offset)
            throw Defect(proto, $"{length} bytes at {offset} of '{location}'", $"a file of {file.SizeBytes} bytes", "The data is cut short; copy it again.");
        return new FileBytes(file, offset, length);

        long Number(string key, long otherwise) => !entries.TryGetValue(key, out var text) ? otherwise
            : long.TryParse(text, out var value) ? value : throw Defect(proto, $"a number as external {key}", $"'{text}'");
    }

    /// <summary>The model's folder, and where the model lies if it is a link: caches of downloads keep graph and data side by side under links.</summary>
    private IEnumerable<string> Places() => [FilePlace.WithoutLinks(_folder), Path.GetDirectoryName(FilePlace.WithoutLinks(modelPath))!];

    private static byte[] TypedData(TensorProto proto, ElementType type) => type switch
    {
        ElementType.Float or ElementType.Complex64 => MemoryMarshal.AsBytes<float>(proto.FloatData.ToArray()).ToArray(),
        ElementType.Double or ElementType.Complex128 => MemoryMarshal.AsBytes<double>(proto.DoubleData.ToArray()).ToArray(),
        ElementType.Int64 => MemoryMarshal.AsBytes<long>(proto.Int64Data.ToArray()).ToArray(),
        ElementType.UInt64 => MemoryMarshal.AsBytes<ulong>(proto.Uint64Data.ToArray()).ToArray(),
        ElementType.UInt32 => MemoryMarshal.AsBytes<uint>(Array.ConvertAll(proto.Uint64Data.ToArray(), v => (uint)v)).ToArray(),
        // int32_data holds every narrower type, one element an entry; of sub-byte types two or four packed in a byte an entry.
        _ => FromInt32s(proto.Int32Data.ToArray(), Math.Max(type.Bits() / 8, 1)),
    };

    private static byte[] FromInt32s(int[] values, int width)
    {
        var bytes = new byte[values.Length * width];
        Span<byte> entry = stackalloc byte[4];
        for (var i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(entry, values[i]);
            entry[..width].CopyTo(bytes.AsSpan(i * width));
        }
        return bytes;
    }

    private long Count(TensorProto proto)
    {
        long count = 1;
        foreach (var size in proto.Dims)
        {
            if (size < 0 || (size > 0 && count > long.MaxValue / 128 / size))
                throw Defect(proto, "sizes of a tensor", $"[{string.Join(", ", proto.Dims)}]");
            count *= size;
        }
        return count;
    }

    private HaloException Defect(TensorProto proto, string expected, string found, string advice = "The file is damaged; export it again.") =>
        new("read-onnx", $"{modelPath}: tensor '{proto.Name}'", expected, found, advice);
}
