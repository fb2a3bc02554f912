using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using Halo.Io;

namespace Halo.Runner.Training.Metrics;

/// <summary>A TensorBoard event file with the scalars of the metrics.</summary>
/// <remarks>
/// The file is a function of the rows: opening writes those there are, so a resumed run has no step twice. Each record is, little-endian,
///   uint64 length | uint32 masked CRC of the length | data | uint32 masked CRC of the data
/// masked(c) = rotate_right(c, 15) + 0xa282ead8, c being CRC-32C. [TensorFlow, core/lib/io/record_writer.h] The data is a protobuf message,
///   Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
///   Summary { repeated Value value = 1; }  Value { string tag = 1; float simple_value = 2; }
/// written here by hand: four fields of two messages.
/// </remarks>
internal sealed class TensorBoardWriter : IDisposable
{
    /// <summary>TensorBoard reads files with "tfevents" in their name.</summary>
    public const string FileName = "events.out.tfevents.halo";

    private readonly AppendedFile _file;

    /// <param name="folder">Made if it is missing; the event file in it is replaced.</param>
    /// <param name="rows">The rows of the run so far.</param>
    public TensorBoardWriter(string folder, IEnumerable<MetricsRow> rows)
    {
        var path = Path.Combine(folder, FileName);
        AtomicFile.Write(path, stream =>
        {
            WriteRecord(stream, Version(rows.FirstOrDefault()?.Time ?? 0));
            foreach (var row in rows) WriteRecord(stream, Event(row));
        });
        _file = new AppendedFile(path);
    }

    public void Append(MetricsRow row)
    {
        using var record = new MemoryStream();
        WriteRecord(record, Event(row));
        _file.Append(record.ToArray());
    }

    public void Dispose() => _file.Dispose();

    /// <summary>CRC-32C (Castagnoli), initial value and final XOR all ones.</summary>
    internal static uint Crc32C(ReadOnlySpan<byte> data)
    {
        var crc = uint.MaxValue;
        for (; data.Length >= 8; data = data[8..]) crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
        foreach (var b in data) crc = BitOperations.Crc32C(crc, b);
        return ~crc;
    }

    private static IEnumerable<(string Tag, double? Value)> Scalars(MetricsRow row) => row.Kind == MetricsKind.Train
        ?
        [
            ("train/loss", row.Loss), ("train/gradient_norm", row.GradientNorm), ("train/learning_rate", row.LearningRate),
            ("train/tokens_per_second", row.TokensPerSecond), ("train/milliseconds", row.Milliseconds),
            ("train/tflops", row.Tflops),
        ]
        : [("eval/loss", row.Loss), ("eval/perplexity", Math.Exp(row.Loss))];

    private static void WriteRecord(Stream stream, byte[] data)
    {
        Span<byte> head = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], Masked(head[..8]));
        Span<byte> tail = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(tail, Masked(data));
        stream.Write(head);
        stream.Write(data);
        stream.Write(tail);
    }

    private static uint Masked(ReadOnlySpan<byte> data) => BitOperations.RotateRight(Crc32C(data), 15) + 0xa282ead8;

    private static byte[] Version(double time)
    {
        var message = new MemoryStream();
        WriteDouble(message, 1, time);
        WriteBytes(message, 3, "brain.Event:2"u8);
        return message.ToArray();
    }

    private static byte[] Event(MetricsRow row)
    {
        var summary = new MemoryStream();
        foreach (var (tag, value) in Scalars(row))
        {
            if (value is not { } number) continue;
            var scalar = new MemoryStream();
            WriteBytes(scalar, 1, Encoding.UTF8.GetBytes(tag));
            WriteFloat(scalar, 2, (float)number);
            WriteBytes(summary, 1, scalar.ToArray());
        }
        var message = new MemoryStream();
        WriteDouble(message, 1, row.Time);
        WriteVarint(message, 2 << 3);
        WriteVarint(message, (ulong)row.Step);
        WriteBytes(message, 5, summary.ToArray());
        return message.ToArray();
    }

    private static void WriteVarint(Stream stream, ulong value)
    {
        for (; value >= 0x80; value >>= 7) stream.WriteByte((byte)(value | 0x80));
        stream.WriteByte((byte)value);
    }

    private static void WriteBytes(Stream stream, int field, ReadOnlySpan<byte> value)
    {
        WriteVarint(stream, (ulong)(field << 3 | 2));
        WriteVarint(stream, (ulong)value.Length);
        stream.Write(value);
    }

    private static void WriteDouble(Stream stream, int field, double value)
    {
        WriteVarint(stream, (ulong)(field << 3 | 1));
        stream.Write(BitConverter.GetBytes(value)); // little-endian on every platform ONNX Runtime runs on
    }

    private static void WriteFloat(Stream stream, int field, float value)
    {
        WriteVarint(stream, (ulong)(field << 3 | 5));
        stream.Write(BitConverter.GetBytes(value));
    }
}
