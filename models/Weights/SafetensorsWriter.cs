using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;
using Halo.Io;
using Halo.Ir;

namespace Halo.Models.Weights;

/// <summary>A tensor to be written: <paramref name="Write"/> puts exactly the shape's bytes, row-major and little-endian, onto the stream.</summary>
public sealed record SafetensorsSource(string Name, ElementType DType, IReadOnlyList<long> Shape, Action<Stream> Write)
{
    public SafetensorsSource(string name, ElementType dtype, IReadOnlyList<long> shape, ReadOnlyMemory<byte> bytes)
        : this(name, dtype, shape, stream => stream.Write(bytes.Span)) { }

    /// <summary>A tensor of another file, copied as it is.</summary>
    public static SafetensorsSource From(SafetensorsTensor tensor) => new(tensor.Name, tensor.DType, tensor.Shape, tensor.CopyTo);

    /// <summary>Float32 values, converted to F32, F16, BF16 or F64 while they are written, in parts.</summary>
    public static SafetensorsSource From(string name, ElementType dtype, IReadOnlyList<long> shape, ReadOnlyMemory<float> values) =>
        new(name, dtype, shape, stream =>
        {
            const int Step = 1 << 18;
            var buffer = new byte[Math.Min(Step, values.Length) * (dtype.Bits() / 8)];
            for (var at = 0; at < values.Length; at += Math.Min(Step, values.Length - at))
            {
                var part = values.Span.Slice(at, Math.Min(Step, values.Length - at));
                var bytes = buffer.AsSpan(0, part.Length * (dtype.Bits() / 8));
                FloatConversions.FromFloat(dtype, part, bytes);
                stream.Write(bytes);
            }
        });
}

/// <summary>Writes safetensors files, one tensor at a time and atomically.</summary>
/// <remarks>
/// The header keeps the given order and is padded with spaces to 8 bytes, as the reference implementation does; equal input gives equal bytes.
/// </remarks>
public static class SafetensorsWriter
{
    private static readonly JsonWriterOptions JsonForm = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="path">The file.</param>
    /// <param name="tensors">Their bytes are asked for while they are written.</param>
    /// <param name="metadata">The header's <c>__metadata__</c>; null: none.</param>
    /// <returns>The digest of each tensor's bytes (<see cref="TensorDigests"/>).</returns>
    /// <exception cref="HaloException">Two tensors of one name, a dtype the format lacks, or a place that cannot be written; nothing is left
    /// behind.</exception>
    /// <exception cref="InvalidOperationException">A source wrote another number of bytes than its shape has.</exception>
    public static IReadOnlyDictionary<string, string> Write(
        string path, IReadOnlyList<SafetensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        using var file = Begin(path, tensors, metadata, out var digests);
        file.Commit();
        return digests;
    }

    /// <summary>Makes a file with the places of tensors whose bytes are written into it by others.</summary>
    /// <exception cref="HaloException">As <see cref="Write"/>.</exception>
    public static void Reserve(string path, IReadOnlyList<SafetensorsSource> tensors)
    {
        var header = Header(path, tensors, metadata: null);
        using var file = PendingFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            stream.Write(header);
            stream.SetLength(8 + header.Length + tensors.Sum(SizeBytes));
        });
        file.Commit();
    }

    /// <summary>As <see cref="Write"/>, but for its place: the file appears when it is committed.</summary>
    internal static PendingFile Begin(string path, IReadOnlyList<SafetensorsSource> tensors) => Begin(path, tensors, metadata: null, out _);

    private static PendingFile Begin(string path, IReadOnlyList<SafetensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata,
        out IReadOnlyDictionary<string, string> digests)
    {
        var header = Header(path, tensors, metadata);
        var found = new OrderedDictionary<string, string>();
        digests = found;
        return PendingFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            stream.Write(header);
            foreach (var tensor in tensors)
            {
                var hashed = new HashedStream(stream);
                tensor.Write(hashed);
                if (hashed.Position != SizeBytes(tensor))
                    throw new InvalidOperationException($"'{tensor.Name}' wrote {hashed.Position} bytes where its shape has {SizeBytes(tensor)}.");
                found.Add(tensor.Name, hashed.Digest);
            }
        });
    }

    private static long SizeBytes(SafetensorsSource tensor) => tensor.DType.SizeBytes(tensor.Shape.Aggregate(1L, (a, b) => checked(a * b)));

    private static byte[] Header(string path, IReadOnlyList<SafetensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var names = new HashSet<string> { "__metadata__" };
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, JsonForm))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach (var (key, value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            var offset = 0L;
            foreach (var tensor in tensors)
            {
                if (!names.Add(tensor.Name)) throw Refusal(path, tensor, "a name of its own", "the same name twice");
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype",
                    SafetensorsDType.Word(tensor.DType) ?? throw Refusal(path, tensor, "a dtype that safetensors has", tensor.DType.Name()));
                json.WriteStartArray("shape");
                foreach (var dim in tensor.Shape) json.WriteNumberValue(dim);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += SizeBytes(tensor));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (buffer.Length % 8 != 0) buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }

    private static HaloException Refusal(string path, SafetensorsSource tensor, string expected, string found) =>
        new("write-safetensors", $"{path}, tensor '{tensor.Name}'", expected, found, "Rename or convert the tensor.");
}
