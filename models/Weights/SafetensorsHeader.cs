using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;
using Halo.Ir;
using Halo.Models.Json;

namespace Halo.Models.Weights;

/// <summary>Name, type, shape and place of one tensor; <c>Offset</c> counts bytes from the end of the header.</summary>
internal sealed record SafetensorsEntry(string Name, ElementType DType, long[] Shape, long Offset, long SizeBytes);

/// <summary>Reads and checks the header of a safetensors file: 8 bytes of little-endian length, then a JSON object. [safetensors README, Format]</summary>
internal static class SafetensorsHeader
{
    /// <summary>The reference implementation's limit, in bytes.</summary>
    internal const long MaxSizeBytes = 100_000_000;

    /// <summary>The header's length in bytes, checked against the file's.</summary>
    internal static long Length(string path, ReadOnlySpan<byte> first8, long fileSizeBytes)
    {
        if (first8.Length < 8) throw Defect(path, "8 bytes of header length", $"a file of {fileSizeBytes} bytes");
        var length = BinaryPrimitives.ReadUInt64LittleEndian(first8);
        if (length is < 2 or > MaxSizeBytes) throw Defect(path, $"a header of 2 to {MaxSizeBytes} bytes", $"{length}");
        if ((long)length > fileSizeBytes - 8) throw Defect(path, $"a header of {length} bytes", $"a file of {fileSizeBytes} bytes");
        return (long)length;
    }

    /// <summary>Parses the header and proves that the tensors fill the <paramref name="dataSizeBytes"/> bytes behind it without hole or overlap.</summary>
    internal static (List<SafetensorsEntry> Entries, Dictionary<string, string> Metadata) Parse(string path, ReadOnlySpan<byte> header, long dataSizeBytes)
    {
        if (header[0] != (byte)'{') throw Defect(path, "a header that starts with '{'", $"byte 0x{header[0]:x2}");
        if (!Utf8.IsValid(header)) throw Defect(path, "a header in UTF-8", "other bytes");
        try
        {
            using var json = JsonDocument.Parse(header.ToArray(), new JsonDocumentOptions { AllowDuplicateProperties = false });
            var entries = new List<SafetensorsEntry>();
            var metadata = new Dictionary<string, string>();
            foreach (var property in json.RootElement.EnumerateObject())
            {
                if (property.Name != "__metadata__") { entries.Add(Entry(path, property)); continue; }
                foreach (var pair in property.Value.EnumerateObject())
                    metadata[pair.Name] = pair.Value.GetString() ?? throw new InvalidOperationException("a null");
            }
            CheckCoverage(path, entries, dataSizeBytes);
            return (entries, metadata);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            if (JsonDuplicate.Find(header) is { } twice)
                throw new HaloException("read-safetensors", path, "each tensor and field once in the header", twice, "Write the file again.", e);
            throw Defect(path, "a header of JSON objects as the format has them", e.Message.TrimEnd('.'), e);
        }
    }

    private static SafetensorsEntry Entry(string path, JsonProperty property)
    {
        var subject = $"{path}, tensor '{property.Name}'";
        string? word = null;
        long[]? shape = null, offsets = null;
        foreach (var field in property.Value.EnumerateObject())
            switch (field.Name)
            {
                case "dtype": word = field.Value.GetString(); break;
                case "shape": shape = Longs(subject, field); break;
                case "data_offsets": offsets = Longs(subject, field); break;
                default: throw Defect(subject, "dtype, shape and data_offsets", $"'{field.Name}'");
            }
        if (word is null || shape is null || offsets is not { Length: 2 })
            throw Defect(subject, "dtype, shape and two data_offsets", property.Value.GetRawText());
        if (SafetensorsDType.Parse(word) is not { } type)
            throw new HaloException("read-safetensors", subject, "a dtype that ONNX has", word, "Halo does not support it: convert the tensor first.");
        try
        {
            var size = type.SizeBytes(shape.Aggregate(1L, (a, b) => checked(a * b)));
            if (offsets[1] - offsets[0] != size) throw Defect(subject, $"{size} bytes for {word} ({string.Join(", ", shape)})", $"{offsets[1] - offsets[0]}");
            return new SafetensorsEntry(property.Name, type, shape, offsets[0], size);
        }
        catch (OverflowException e) { throw Defect(subject, "a size below 2^63 bytes", $"{word} ({string.Join(", ", shape)})", e); }
    }

    private static long[] Longs(string subject, JsonProperty field) => [.. field.Value.EnumerateArray().Select(
        e => e.TryGetInt64(out var n) && n >= 0 ? n : throw Defect(subject, $"whole numbers from 0 in {field.Name}", e.GetRawText()))];

    private static void CheckCoverage(string path, List<SafetensorsEntry> entries, long dataSizeBytes)
    {
        var end = 0L;
        foreach (var entry in entries.OrderBy(e => e.Offset).ThenBy(e => e.SizeBytes))
        {
            if (entry.Offset != end) throw Defect($"{path}, tensor '{entry.Name}'", $"data at byte {end}, without hole or overlap", $"byte {entry.Offset}");
            end += entry.SizeBytes;
        }
        if (end != dataSizeBytes) throw Defect(path, $"{end} bytes of tensor data", $"{dataSizeBytes}");
    }

    internal static HaloException Defect(string subject, string expected, string found, Exception? inner = null) =>
        new("read-safetensors", subject, expected, found, "The file is truncated or damaged: fetch or write it again.", inner);
}
