using System.Text;

namespace Halo.Tests.Runner.Training;

/// <summary>Reads event files the slow way, sharing no code with the writer: checksums bit by bit, protobuf field by field.</summary>
internal static class TensorBoardReader
{
    public sealed record Event(double WallTime, long Step, string? Version, List<(string Tag, float Value)> Scalars);

    public static List<Event> Read(byte[] file)
    {
        var events = new List<Event>();
        for (var at = 0; at < file.Length;)
        {
            var length = (int)BitConverter.ToUInt64(file, at);
            Assert.Equal(Masked(file[at..(at + 8)]), BitConverter.ToUInt32(file, at + 8));
            var data = file[(at + 12)..(at + 12 + length)];
            Assert.Equal(Masked(data), BitConverter.ToUInt32(file, at + 12 + length));
            events.Add(Parse(data));
            at += 16 + length;
        }
        return events;
    }

    private static Event Parse(byte[] data)
    {
        var fields = Fields(data);
        var step = fields.Find(f => f.Number == 2).Varint;
        var version = fields.Find(f => f.Number == 3).Bytes is { } bytes ? Encoding.UTF8.GetString(bytes) : null;
        var scalars = fields.Where(f => f.Number == 5).SelectMany(f => Fields(f.Bytes!)).Select(value => Fields(value.Bytes!))
            .Select(v => (Encoding.UTF8.GetString(v.Find(f => f.Number == 1).Bytes!), BitConverter.ToSingle(v.Find(f => f.Number == 2).Bytes!)));
        return new Event(BitConverter.ToDouble(fields.Find(f => f.Number == 1).Bytes!), (long)step, version, scalars.ToList());
    }

    private static List<(int Number, ulong Varint, byte[]? Bytes)> Fields(byte[] data)
    {
        var fields = new List<(int, ulong, byte[]?)>();
        for (var at = 0; at < data.Length;)
        {
            var key = Varint(data, ref at);
            if ((key & 7) == 0) { fields.Add(((int)(key >> 3), Varint(data, ref at), null)); continue; }
            var length = (key & 7) switch { 1 => 8, 5 => 4, 2 => (int)Varint(data, ref at), var type => throw new InvalidDataException($"wire type {type}") };
            fields.Add(((int)(key >> 3), 0, data[at..(at + length)]));
            at += length;
        }
        return fields;
    }

    private static ulong Varint(byte[] data, ref int at)
    {
        var value = 0UL;
        for (var shift = 0; ; shift += 7)
        {
            var b = data[at++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80) return value;
        }
    }

    /// <summary>CRC-32C by polynomial division, reflected (0x82F63B78), then masked.</summary>
    private static uint Masked(byte[] data)
    {
        var crc = uint.MaxValue;
        foreach (var b in data)
        {
            crc ^= b;
            for (var bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
        }
        crc = ~crc;
        return (crc >> 15 | crc << 17) + 0xa282ead8;
    }
}
