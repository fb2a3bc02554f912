using System.Diagnostics;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Operators;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Serialization;

/// <summary>Models that lack operands, or are made to take all time and memory, are refused when they are read.</summary>
public class HostileModelTests
{
    [Theory]
    [InlineData("y: float[2] = Gemm(x) # short", "node 'short' (Gemm) with 2 inputs at least, found 1.")]
    [InlineData("y: float[2] = Transpose() # none", "node 'none' (Transpose) with 1 inputs at least, found 0.")]
    [InlineData("y: float[2] = Reshape(_, x) # left", "node 'left' (Reshape) with 2 inputs at least, found none as input 0.")]
    [InlineData("y: float[2] = TopK(x, x) # one", "node 'one' (TopK) with 2 outputs, found 1.")]
    [InlineData("y: float[2] = com.halo.CrossEntropy(x) # loss", "node 'loss' (com.halo.CrossEntropy) with 2 inputs at least, found 1.")]
    public void Operands_that_are_missing_are_named(string line, string message) => Refused($$"""
        ir_version: 10, opset: {"": 21, "com.halo": 1}
        graph g(x: float[2]) -> (y: float[2]) {
          {{line}}
        }
        """, message);

    /// <summary>The rule of Pad met pads that no rank has.</summary>
    [Fact]
    public void Operands_that_a_shape_rule_did_not_expect_are_named_with_their_node()
    {
        var model = GraphParser.Parse("""
            ir_version: 10, opset: {"": 21}
            graph g(x: int64[4]) -> (y: int64[]) {
              initializers { pads: int64[] = 1 }
              y: int64[] = Pad(x, pads) # pad
            }
            """, HaloOperators.Catalogue);
        Assert.StartsWith("infer-shapes: 'pad' (Pad): expected operands as the operator's definition has them, found int64[4], int64[]: ",
            Assert.Throws<HaloException>(() => ShapeInference.Run(model.Graph)).Message, StringComparison.Ordinal);
    }

    /// <summary>Sizes that a graph declares, which nothing holds against a file.</summary>
    [Fact]
    public void Sizes_beyond_all_numbers_are_refused()
    {
        Assert.Throws<HaloException>(() => Shape.Of(1L << 40, 1L << 40).ElementCount);
        Assert.Equal(0, Shape.Of(1L << 40, 0, 1L << 40).ElementCount);
        Assert.Equal(1L << 59, Shape.Of(1L << 40, 1L << 19).ElementCount);
        Assert.Throws<HaloException>(() => Shape.Of(1L << 40, 1L << 20).ElementCount);
    }

    [Theory]
    [InlineData(40, "at most 2097152 nodes with functions written out, found more, at")]
    [InlineData(400, "more, at", 1)]
    public void Functions_that_double_each_other_are_refused_at_once(int depth, string message, int calls = 2)
    {
        var functions = string.Join("\n", Enumerable.Range(1, depth).Select(k => $$"""
            function x.f{{k}}(X) -> (Y) opset {"": 21, "x": 1} {
              {{string.Concat(Enumerable.Range(0, calls).Select(c => $"{(c == calls - 1 ? "Y" : $"a{c}")} = x.f{k - 1}({(c == 0 ? "X" : $"a{c - 1}")})\n"))}}
            }
            """));
        var begun = ThreadTime.Seconds;
        Refused($$"""
            ir_version: 10, opset: {"": 21, "x": 1}
            graph g(x: float[2]) -> (y: float[2]) {
              y: float[2] = x.f{{depth}}(x)
            }
            function x.f0(X) -> (Y) opset {"": 21} {
              Y = Relu(X)
            }
            {{functions}}
            """, calls == 1 ? "functions that call each other 100 deep at most" : message);
        Assert.InRange(ThreadTime.Seconds - begun, 0, 5);
    }

    /// <summary>Two bytes of the file each, some hundred in memory.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(13)]
    public void Millions_of_empty_messages_are_refused_before_they_are_made(int field)
    {
        using var folder = new TemporaryFolder();
        var graph = Enumerable.Repeat(new byte[] { (byte)((field << 3) | 2), 0 }, 4_200_000).SelectMany(b => b).ToArray();
        using (var file = new Google.Protobuf.CodedOutputStream(File.Create(folder["m.onnx"])))
        {
            file.WriteRawTag(0x08, 10);
            file.WriteRawTag(0x42, 2);
            file.WriteRawTag(0x10, 21); // opset
            file.WriteRawTag((7 << 3) | 2);
            file.WriteBytes(Google.Protobuf.ByteString.CopyFrom(graph));
        }
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("more than 4194304 nodes, attributes, values and sizes",
            Assert.Throws<HaloException>(() => OnnxReader.Read(folder["m.onnx"], HaloOperators.Catalogue)).Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100 << 20);
    }

    [Fact]
    public void Every_operator_of_the_catalogue_reads_no_more_inputs_than_it_asks_for()
    {
        Assert.All(OperatorCatalogue.Standard.All, o => Assert.True(o.RequiredOutputs >= 1, o.OpType));
        Assert.Equal(0, OperatorCatalogue.Standard.All.Single(o => o.OpType == "Constant").RequiredInputs);
        Assert.Equal(4, HaloOperators.Catalogue.All.Single(o => o is { OpType: "ScaledMatMul", Domain: HaloDomain.Name }).RequiredInputs);
        Assert.Equal(3, HaloOperators.Catalogue.All.Single(o => o is { OpType: "Attention", Domain: HaloDomain.Name }).RequiredInputs);
    }

    [Fact]
    public void External_data_are_regular_files_and_links_stay_inside()
    {
        if (!OperatingSystem.IsLinux())
            return;
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder["model"]);
        var model = GraphParser.Parse($$"""
            ir_version: 10, opset: {"": 21}
            graph g(x: float[512]) -> (y: float[512]) {
              initializers { w: float[512] = splat 1.5 }
              y: float[512] = Add(x, w)
            }
            """, HaloOperators.Catalogue);
        var (graph, data) = (folder["model/m.onnx"], folder["model/m.onnx.data"]);
        OnnxWriter.Write(model, graph, externalData: true);
        void Found(string path) =>
            Assert.Equal(1.5f, OnnxReader.Read(path, HaloOperators.Catalogue).Graph.Initializers.Single().Initializer!.ToArray<float>()[0]);
        void Fails(string message) =>
            Assert.Contains(message, Assert.Throws<HaloException>(() => OnnxReader.Read(graph, HaloOperators.Catalogue)).Message, StringComparison.Ordinal);

        // Within the folder a link is followed; of a model that is itself a link, also where its file lies, as caches of downloads have it.
        File.Move(data, folder["model/blob"]);
        File.CreateSymbolicLink(data, "blob");
        Found(graph);
        Directory.CreateDirectory(folder["snapshot"]);
        File.CreateSymbolicLink(folder["snapshot/m.onnx"], "../model/m.onnx");
        File.CreateSymbolicLink(folder["snapshot/m.onnx.data"], "../model/blob");
        Found(folder["snapshot/m.onnx"]);
        Directory.CreateSymbolicLink(folder["other"], folder["model"]);
        Found(folder["other/m.onnx"]);

        File.Move(folder["model/blob"], folder["outside"]);
        File.Delete(data);
        File.CreateSymbolicLink(data, "../outside");
        Fails("inside the model's folder, found 'm.onnx.data', a link to");
        File.Delete(data);
        using (var process = Process.Start("mkfifo", data))
            process.WaitForExit();
        Fails("expected a regular file, found a pipe or device");
        File.Delete(data);
        File.CreateSymbolicLink(data, "m.onnx.data");
        Fails("expected at most 40 links, found more, or a circle of them");
    }

    [Fact]
    public void Sizes_are_integers()
    {
        var text = """
            ir_version: 10, opset: {"": 23}
            graph g(x: float[4]) -> (y) { initializers { n: float[1] = {3} }  z = ConstantOfShape(n)  y = Add(x, z) }
            """;
        var e = Assert.Throws<VerifierException>(() => Verifier.Check(GraphParser.Parse(text, HaloOperators.Catalogue)));
        Assert.Contains("ConstantOfShape", e.Message, StringComparison.Ordinal);
        Assert.Contains("int64", e.Message, StringComparison.Ordinal);
    }

    private static void Refused(string text, string message)
    {
        using var folder = new TemporaryFolder();
        OnnxWriter.Write(GraphParser.Parse(text, HaloOperators.Catalogue), folder["m.onnx"]);
        var e = Assert.Throws<HaloException>(() => OnnxReader.Read(folder["m.onnx"], HaloOperators.Catalogue));
        Assert.StartsWith($"read-onnx: {folder["m.onnx"]}: expected ", e.Message, StringComparison.Ordinal);
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
    }
}
