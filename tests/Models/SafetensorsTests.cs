using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using CsCheck;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.Weights;

namespace Halo.Tests.Models;

public sealed class SafetensorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_copy_of_the_bundled_weights_is_the_same_file()
    {
        var path = Path.Combine(LlamaTiny.Folder, "model.safetensors");
        using var file = SafetensorsFile.Open(path);
        SafetensorsWriter.Write(_folder["copy"], [.. file.Tensors.Values.Select(SafetensorsSource.From)], file.Metadata);
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(_folder["copy"]));
        SafetensorsWriter.Write(_folder["rounded"], [.. file.Tensors.Values.Select(t => SafetensorsSource.From(t.Name, t.DType, t.Shape, t.ReadFloats()))],
            file.Metadata);
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(_folder["rounded"]));
    }

    /// <summary>The hub's cache is made of such links.</summary>
    [Fact]
    public void A_symbolic_link_is_the_file_that_it_points_to()
    {
        var path = Path.Combine(LlamaTiny.Folder, "model.safetensors");
        File.CreateSymbolicLink(_folder["link"], path);
        using var file = SafetensorsFile.Open(path);
        using var linked = SafetensorsFile.Open(_folder["link"]);
        Assert.All(file.Tensors.Keys, name => Assert.True(file.Bytes(name).SequenceEqual(linked.Bytes(name)), name));
    }

    [Fact]
    public void The_reference_batch_reads_as_integers()
    {
        using var file = SafetensorsFile.Open(Fixture.Path("training-8x256-batch.safetensors"));
        Assert.Equal(8 * 256, file.ReadLongs("input_ids").Length);
        Assert.All(file.ReadLongs("input_ids"), id => Assert.InRange(id, 0, 2047));
        Assert.Contains("a tensor 'none'", Assert.Throws<HaloException>(() => file["none"]).Message);
    }

    [Fact]
    public void Any_tensors_survive_the_round_trip()
    {
        ElementType[] types =
        [
            ElementType.Bool, ElementType.UInt8, ElementType.Int8, ElementType.UInt16, ElementType.Int16, ElementType.UInt32, ElementType.Int32,
            ElementType.UInt64,
            ElementType.Int64, ElementType.Float16, ElementType.BFloat16, ElementType.Float, ElementType.Double, ElementType.Float8E4M3FN,
            ElementType.Float8E5M2,
        ];
        Gen.Select(Gen.Int[0, types.Length - 1].Select(i => types[i]), Gen.Long[0, 5].Array[0, 4], Gen.String).Array[0, 5].Sample(tensors =>
        {
            var path = _folder["any"];
            var sources = tensors.Select((t, i) =>
            {
                var bytes = new byte[t.Item1.SizeBytes(t.Item2.Aggregate(1L, (a, b) => a * b))];
                new Random(i).NextBytes(bytes);
                return (Source: new SafetensorsSource($"{i} \"\u00e9", t.Item1, t.Item2, bytes), Bytes: bytes);
            }).ToList();
            SafetensorsWriter.Write(path, [.. sources.Select(s => s.Source)]);
            using var file = SafetensorsFile.Open(path);
            return file.Tensors.Values.Zip(sources).All(p => p.First.Name == p.Second.Source.Name && p.First.DType == p.Second.Source.DType
                && p.First.Shape.SequenceEqual(p.Second.Source.Shape) && p.First.Bytes().SequenceEqual(p.Second.Bytes)) && file.Tensors.Count == sources.Count;
        }, iter: 100, threads: 1, seed: "0000KOIPSNy1");
    }

    [Fact]
    public void Truncation_anywhere_is_an_error()
    {
        var bytes = Small();
        for (var length = 0; length < bytes.Length; length++) AssertDefect(bytes[..length]);
        AssertDefect([.. bytes, 0]);
    }

    [Fact]
    public void A_flipped_header_byte_is_an_error_or_another_valid_header()
    {
        var bytes = Small();
        var header = (int)BinaryPrimitives.ReadInt64LittleEndian(bytes) + 8;
        for (var at = 0; at < header; at++)
            foreach (var flip in new byte[] { 1, 0x20, 0x80, 0xFF })
            {
                var broken = (byte[])bytes.Clone();
                broken[at] ^= flip;
                File.WriteAllBytes(_folder["flipped"], broken);
                try
                {
                    using var file = SafetensorsFile.Open(_folder["flipped"]);
                    foreach (var tensor in file.Tensors.Values) Assert.Equal(tensor.SizeBytes, tensor.Bytes().Length);
                }
                catch (HaloException) { /* the one exception that is allowed */ }
            }
    }

    [Theory]
    [InlineData("{}", 1)]
    [InlineData("[]", 0)]
    [InlineData("""{"a":3}""", 0)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8)]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", 6)]
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}""", 0)]
    [InlineData("""{"a":{"dtype":"U8","shape":[0]}}""", 0)]
    [InlineData("""{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":1}}""", 0)]
    [InlineData("""{"__metadata__":{"a":1}}""", 0)]
    [InlineData("""{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}""", 0)]
    [InlineData(" {}", 0)]
    public void A_header_that_the_format_forbids_is_an_error(string header, int dataSizeBytes)
    {
        var text = Encoding.UTF8.GetBytes(header);
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        AssertDefect([.. length, .. text, .. new byte[dataSizeBytes]]);
    }

    [Fact]
    public void More_than_2_GiB_is_read_in_place()
    {
        const long Count = (1L << 31) + 16;
        var big = $$$"""{"big":{"dtype":"U8","shape":[{{{Count}}}],"data_offsets":[0,{{{Count}}}]},"end":"""
            + $$$"""{"dtype":"F32","shape":[1],"data_offsets":[{{{Count}}},{{{Count + 4}}}]}}""";
        var header = Encoding.UTF8.GetBytes(big);
        using (var stream = File.Create(_folder["big"]))
        {
            stream.Write(BitConverter.GetBytes((long)header.Length));
            stream.Write(header);
            stream.SetLength(8 + header.Length + Count + 4); // sparse: the hole takes no space
            stream.Position = 8 + header.Length + Count - 1;
            stream.WriteByte(7);
            stream.Write(BitConverter.GetBytes(1.5f));
        }
        using var file = SafetensorsFile.Open(_folder["big"]);
        var last = new byte[2];
        file["big"].CopyTo(last, Count - 2);
        Assert.Equal([0, 7], last);
        Assert.Equal([1.5f], file.ReadFloats("end"));
        Assert.Throws<HaloException>(() => { file.Bytes("big"); });
        Assert.Throws<ArgumentOutOfRangeException>(() => { file["end"].Slice(0, 5); });
    }

    [Fact]
    public void Shards_read_as_one_and_must_agree_with_the_index()
    {
        SafetensorsWriter.Write(_folder["1.safetensors"], [Floats("a", 1), Floats("b", 2)]);
        SafetensorsWriter.Write(_folder["2.safetensors"], [Floats("c", 3)]);
        Index("""{"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}}""");
        using (var checkpoint = CheckpointReader.Open(_folder.Path))
        {
            Assert.Equal(["a", "b", "c"], checkpoint.Tensors.Keys);
            Assert.Equal([3f], checkpoint.ReadFloats("c"));
        }
        foreach (var map in new[] { """{"a":"1.safetensors"}""", """{"a":"2.safetensors","b":"1.safetensors","c":"2.safetensors"}""",
            """{"a":"../1.safetensors"}""",
            """{"a":"3.safetensors"}""", "{}", "[]", """{"a":1}""" })
        {
            Index($$"""{"weight_map":{{map}}}""");
            Assert.Throws<HaloException>(() => CheckpointReader.Open(_folder.Path));
        }
        File.Delete(_folder["model.safetensors.index.json"]);
        Assert.Throws<HaloException>(() => CheckpointReader.Open(_folder.Path));

        void Index(string json) => File.WriteAllText(_folder["model.safetensors.index.json"], json);
    }

    [Fact]
    public void The_prefix_of_a_wrapper_is_taken_away_where_every_name_has_it()
    {
        SafetensorsWriter.Write(_folder["a"], [Floats("_orig_mod.module.model.a", 1), Floats("_orig_mod.module.b", 2)]);
        using (var checkpoint = CheckpointReader.Open(_folder["a"]))
        {
            Assert.Equal(("_orig_mod.module.", true), (checkpoint.Prefix, checkpoint.Tensors.All(t => t.Key == t.Value.Name)));
            Assert.Equal([2f], checkpoint.ReadFloats("b"));
        }
        SafetensorsWriter.Write(_folder["b"], [Floats("language_model.model.a", 1), Floats("vision.b", 2)]);
        using var mixed = CheckpointReader.Open(_folder["b"]);
        Assert.Equal(["language_model.model.a", "vision.b"], mixed.Tensors.Keys);
    }

    [Fact]
    public void A_file_of_another_kind_is_called_what_it_is()
    {
        foreach (var (bytes, part) in new (byte[], string)[] { ("version https://git-lfs.github.com/spec/v1\n"u8.ToArray(), "git lfs pull"),
            ("PK\x03\x04........"u8.ToArray(), "as PyTorch writes"), ("<!DOCTYPE html><html>"u8.ToArray(), "a web page") })
        {
            File.WriteAllBytes(_folder["x"], bytes);
            Assert.Contains(part, Assert.Throws<HaloException>(() => SafetensorsFile.Open(_folder["x"])).Message);
        }
        Assert.Contains("found a folder", Assert.Throws<HaloException>(() => SafetensorsFile.Open(_folder.Path)).Message);
        var header = "{\n\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\n\"a\":{}}"u8.ToArray();
        File.WriteAllBytes(_folder["x"], [.. BitConverter.GetBytes((long)header.Length), .. header]);
        Assert.Contains("a second 'a' at line 3, byte 1", Assert.Throws<HaloException>(() => SafetensorsFile.Open(_folder["x"])).Message);
    }

    [Fact]
    public void A_failed_write_leaves_nothing()
    {
        Assert.Throws<HaloException>(() => SafetensorsWriter.Write(_folder["x"], [Floats("a", 1), Floats("a", 2)]));
        Assert.Throws<HaloException>(() => SafetensorsWriter.Write(_folder["x"], [new SafetensorsSource("a", ElementType.String, [0], Array.Empty<byte>())]));
        Assert.Throws<InvalidOperationException>(() =>
            SafetensorsWriter.Write(_folder["x"], [new SafetensorsSource("a", ElementType.Float, [2], new byte[4])]));
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void A_missing_file_is_an_error() => Assert.Throws<HaloException>(() => SafetensorsFile.Open(_folder["none"]));

    private static SafetensorsSource Floats(string name, params float[] values) => SafetensorsSource.From(name, ElementType.Float, [values.Length], values);

    private byte[] Small()
    {
        SafetensorsWriter.Write(_folder["small"],
            [Floats("weight", 1, 2), new SafetensorsSource("ids", ElementType.Int64, [1], MemoryMarshal.AsBytes<long>([5L]).ToArray())],
            new Dictionary<string, string> { ["format"] = "pt" });
        return File.ReadAllBytes(_folder["small"]);
    }

    private void AssertDefect(byte[] bytes)
    {
        File.WriteAllBytes(_folder["defect"], bytes);
        Assert.Throws<HaloException>(() => SafetensorsFile.Open(_folder["defect"]));
    }
}
