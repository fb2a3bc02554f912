using Halo.CustomOps;
using Halo.Ir;
using Halo.Serialization;

namespace Halo.Tests.Serialization;

public class OnnxRoundTripTests
{
    public static TheoryData<string, string> Graphs
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in ExportFixture.Names)
            {
                foreach (var file in Directory.GetFiles(ExportFixture.Folder(name), "*.onnx").Order())
                    data.Add(name, Path.GetFileName(file));
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Graphs))]
    public void Real_exports_survive_read_and_write(string name, string file)
    {
        using var folder = new TemporaryFolder();
        var model = Read(ExportFixture.File(name, file));
        OnnxWriter.Write(model, folder["once.onnx"]);
        OnnxWriter.Write(Read(folder["once.onnx"]), folder["twice.onnx"]);
        Assert.Equal(File.ReadAllBytes(folder["once.onnx"]), File.ReadAllBytes(folder["twice.onnx"]));
        Assert.InRange(new FileInfo(folder["once.onnx"]).Length / (double)new FileInfo(ExportFixture.File(name, file)).Length, 0.9, 1.1);
    }

    [Fact]
    public void External_data_holds_several_tensors_and_reads_back()
    {
        using var folder = new TemporaryFolder();
        var model = Read(ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx"));
        OnnxWriter.Write(model, folder["m.onnx"], externalData: true);
        var read = Read(folder["m.onnx"]);
        Assert.True(new FileInfo(folder["m.onnx.data"]).Length > 100_000);
        Assert.Equal(model.Graph.Initializers.Select(v => v.Name), read.Graph.Initializers.Select(v => v.Name));
        foreach (var (a, b) in model.Graph.Initializers.Zip(read.Graph.Initializers))
            Assert.Equal(a.Initializer!.ToBytes(), b.Initializer!.ToBytes());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Bytes_beside_weights_refer_to_where_these_lie(bool externalData)
    {
        using var folder = new TemporaryFolder();
        OnnxWriter.Write(Read(ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx")), folder["m.onnx"], externalData);
        var model = Read(folder["m.onnx"]);
        var (bytes, at) = OnnxWriter.ToBytesBesideWeights(model)!.Value;
        Assert.Equal(folder.Path, at);
        Assert.True(bytes.Length < new FileInfo(externalData ? folder["m.onnx.data"] : folder["m.onnx"]).Length / 2);
        File.WriteAllBytes(folder["other.onnx"], bytes);
        foreach (var (a, b) in model.Graph.Initializers.Zip(Read(folder["other.onnx"]).Graph.Initializers))
            Assert.Equal(a.Initializer!.ToBytes(), b.Initializer!.ToBytes());
    }

    [Fact]
    public void There_are_no_bytes_beside_weights_of_two_folders_or_of_none()
    {
        using TemporaryFolder first = new(), second = new();
        var made = Read(ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx"));
        OnnxWriter.Write(made, first["m.onnx"]);
        OnnxWriter.Write(made, second["m.onnx"]);
        var (model, other) = (Read(first["m.onnx"]), Read(second["m.onnx"]));
        var weight = model.Graph.Initializers.First(v => v.Initializer!.IsInFile);
        weight.Initializer = other.Graph.Initializers.First(v => v.Name == weight.Name).Initializer;
        Assert.Null(OnnxWriter.ToBytesBesideWeights(model));
        foreach (var value in other.Graph.Initializers)
            value.Initializer = Tensor.Of<byte>(value.Initializer!.Type, [.. value.Initializer.Sizes], value.Initializer.ToBytes());
        Assert.Null(OnnxWriter.ToBytesBesideWeights(other));
    }

    /// <summary>Data have a name by their content, so that a graph is never beside those of the graph that it takes the place of.</summary>
    [Fact]
    public void Large_content_has_a_name_of_its_own_and_goes_with_its_graph()
    {
        using var folder = new TemporaryFolder();
        var model = Read(ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx"));
        OnnxWriter.Write(model, folder["m.onnx"], externalData: false, graphBytes: 1000);
        var first = Assert.Single(Directory.GetFiles(folder.Path, "m.onnx.*.data"));
        var (graph, data) = (File.ReadAllBytes(folder["m.onnx"]), File.ReadAllBytes(first));
        OnnxWriter.Write(model, folder["m.onnx"], externalData: false, graphBytes: 1000);
        Assert.Equal(graph, File.ReadAllBytes(folder["m.onnx"])); // the same bytes
        File.WriteAllText(folder["m.onnx.notes.data"], "not ours");

        var weight = model.Graph.Initializers.First(v => v.Initializer!.Type == ElementType.Float && v.Initializer.ElementCount > 1000);
        weight.Initializer = Tensor.Floats([.. weight.Initializer!.Sizes], [.. weight.Initializer.ToArray<float>().Select(v => v + 1)]);
        Assert.Throws<OperationCanceledException>(() => OnnxWriter.Write(model, folder["m.onnx"], externalData: false, graphBytes: 1000,
            () => throw new OperationCanceledException())); // killed when the data have their name and the graph has not
        Assert.Equal(graph, File.ReadAllBytes(folder["m.onnx"]));
        Assert.Equal(data, File.ReadAllBytes(first));
        OnnxWriter.Write(model, folder["m.onnx"], externalData: false, graphBytes: 1000);
        Assert.False(File.Exists(first));
        Assert.True(File.Exists(folder["m.onnx.notes.data"]));
        Assert.Equal(3, Directory.GetFiles(folder.Path).Length);
        foreach (var (a, b) in model.Graph.Initializers.Zip(Read(folder["m.onnx"]).Graph.Initializers))
            Assert.Equal(a.Initializer!.ToBytes(), b.Initializer!.ToBytes());
    }

    [Fact]
    public void Damaged_files_are_refused_with_a_reason_wherever_they_end()
    {
        using var folder = new TemporaryFolder();
        var bytes = File.ReadAllBytes(ExportFixture.File("llama2-mha", "training.onnx"));
        for (var length = 0; length < bytes.Length; length += 9973)
        {
            File.WriteAllBytes(folder["cut.onnx"], bytes[..length]);
            Assert.Throws<HaloException>(() => Read(folder["cut.onnx"]));
        }
    }

    [Fact]
    public void External_data_outside_the_folder_missing_or_short_is_refused()
    {
        using var folder = new TemporaryFolder();
        var model = Read(ExportFixture.File("llama2-mha", "logits-dynamo-opset18.onnx"));
        Directory.CreateDirectory(folder["inner"]);
        OnnxWriter.Write(model, Path.Combine(folder["inner"], "m.onnx"), externalData: true);
        var data = Path.Combine(folder["inner"], "m.onnx.data");
        using (var stream = File.OpenWrite(data))
            stream.SetLength(stream.Length / 2);
        Assert.Contains("cut short", Assert.Throws<HaloException>(() => Read(Path.Combine(folder["inner"], "m.onnx"))).Message);
        File.Delete(data);
        Assert.Contains("no such file", Assert.Throws<HaloException>(() => Read(Path.Combine(folder["inner"], "m.onnx"))).Message);

        var bytes = File.ReadAllBytes(Path.Combine(folder["inner"], "m.onnx"));
        var text = System.Text.Encoding.Latin1.GetString(bytes).Replace("m.onnx.data", "../m.o.data", StringComparison.Ordinal);
        File.WriteAllBytes(Path.Combine(folder["inner"], "escape.onnx"), System.Text.Encoding.Latin1.GetBytes(text));
        File.WriteAllText(folder["m.o.data"], "secret");
        Assert.Contains("inside the model's folder", Assert.Throws<HaloException>(() => Read(Path.Combine(folder["inner"], "escape.onnx"))).Message);
    }

    [Fact]
    public void A_tensor_past_two_gigabytes_in_an_external_file_is_streamed_not_held()
    {
        using var folder = new TemporaryFolder();
        var graph = new Graph();
        graph.AddInitializer("small", Tensor.Int64s(1, 2));
        graph.AddOutput(graph.AddInput(new Value("x", ElementType.Float, Shape.Of(1))));
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        OnnxWriter.Write(model, folder["m.onnx"]);
        const long Size = (2L << 30) + (1 << 20);
        using (var sparse = File.Create(folder["big.data"]))
        {
            sparse.SetLength(Size);
            sparse.Position = Size - 1;
            sparse.WriteByte(7);
        }
        var tensor = new Tensor(ElementType.UInt8, [Size], new Halo.Io.FileBytes(new Halo.Io.MappedFile(folder["big.data"]), 0, Size));
        long seen = 0;
        byte last = 0;
        tensor.ReadChunks(bytes =>
        {
            seen += bytes.Length;
            last = bytes[^1];
            return true;
        });
        Assert.Equal((Size, 7), (seen, last));
    }

    private static Model Read(string path) => OnnxReader.Read(path, HaloOperators.Catalogue);
}
