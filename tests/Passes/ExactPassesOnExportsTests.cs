using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Text;
using Xunit.Abstractions;

namespace Halo.Tests.Passes;

/// <summary>On real exports every exact pass keeps ONNX Runtime's outputs bit for bit, rests the second time, and survives save and load.</summary>
public class ExactPassesOnExportsTests(ITestOutputHelper output)
{
    public static TheoryData<string, string> Exports
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in ExportFixture.Names)
                data.Add(name, "training.onnx");
            foreach (var file in new[] { "logits-dynamo-opset18.onnx", "loss-dynamo-opset18.onnx", "logits-torchscript-opset17.onnx" })
                data.Add("llama2-mha", file);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Outputs_keep_their_bits(string name, string file)
    {
        using var folder = new TemporaryFolder();
        var path = ExportFixture.File(name, file);
        var model = OnnxReader.Read(path, HaloOperators.Catalogue);
        var evaluator = new OnnxEvaluator();
        var inputs = Inputs(model);
        var options = new PassOptions { Evaluator = evaluator, VerifyInputs = inputs };

        var run = PassManager.Run(model, Pipelines.Parse(Pipelines.Cleanup), options);
        var small = folder["rewritten.onnx"];
        OnnxWriter.Write(model, small);
        foreach (var pass in run.Passes)
            output.WriteLine($"{name}/{file} {pass.Pass.Name}: {pass.Rewrites} rewrites, {pass.Skipped.Count} skipped");
        output.WriteLine($"{name}/{file}: {new FileInfo(path).Length} -> {new FileInfo(small).Length} bytes, "
            + $"{100.0 * new FileInfo(small).Length / new FileInfo(path).Length:f1} %");
        Assert.All(run.Passes, p => Assert.All(p.Measured!, m => Assert.True(m.IsIdentical, $"{p.Pass.Name}: {m}")));
        Assert.True(run.Passes.Single(p => p.Pass is UpgradeOpset).Rewrites > 0);

        var loaded = OnnxReader.Read(small, HaloOperators.Catalogue);
        var before = evaluator.Evaluate(model, inputs);
        Assert.All(before.Zip(evaluator.Evaluate(loaded, inputs)), p => Assert.Equal(p.First.ToBytes(), p.Second.ToBytes()));

        var again = PassManager.Run(loaded, Pipelines.Parse(Pipelines.Cleanup), new PassOptions { Evaluator = evaluator });
        Assert.All(again.Passes, p => Assert.Equal(0, p.Rewrites));
    }

    [Theory]
    [InlineData("llama2-mha")]
    [InlineData("llama32-tied")]
    [InlineData("llama3-gqa")]
    public void Folding_splats_makes_training_graphs_much_smaller(string name)
    {
        using var folder = new TemporaryFolder();
        var path = ExportFixture.File(name, "training.onnx");
        var model = OnnxReader.Read(path, HaloOperators.Catalogue);
        var constants = model.Graph.Initializers.Sum(v => v.Initializer!.SizeBytes);
        PassManager.Run(model, [new UpgradeOpset(), new FoldSplats()], new PassOptions());
        OnnxWriter.Write(model, folder["small.onnx"]);
        var left = model.Graph.Initializers.Sum(v => v.Initializer!.SizeBytes);
        output.WriteLine($"{name}: constants {constants} -> {left} bytes; "
            + $"file {new FileInfo(path).Length} -> {new FileInfo(folder["small.onnx"]).Length} bytes");
        Assert.InRange(left, 0, constants / 4);
    }

    [Theory]
    [InlineData("llama2-mha", "training-bf16.onnx")]
    [InlineData("llama2-mha", "logits-dynamo-bf16-opset18.onnx")]
    [InlineData("llama2-mha", "logits-dynamo-sdpa-opset23.onnx")]
    public void Graphs_that_the_stock_runtime_refuses_are_rewritten_all_the_same(string name, string file)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, file), HaloOperators.Catalogue);
        PassManager.Run(model, Pipelines.Parse(Pipelines.Cleanup), new PassOptions { Evaluator = new OnnxEvaluator() });
        Assert.True(model.Opset >= 21);
    }

    [Theory]
    [InlineData(ElementType.Float)]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    [InlineData(ElementType.Double)]
    [InlineData(ElementType.Int64)]
    [InlineData(ElementType.UInt8)]
    [InlineData(ElementType.Int8)]
    [InlineData(ElementType.Bool)]
    public void Every_type_that_is_folded_runs(ElementType type)
    {
        var graph = new Graph();
        var bytes = new byte[type.SizeBytes(1000)];
        Array.Fill(bytes, (byte)1);
        var constant = graph.AddInitializer("c", new Tensor(type, [10, 100], new MemoryBytes(bytes)));
        var result = new Value("y", type, Shape.Of(10, 100));
        graph.Append(new Node("Identity", [constant], [result]));
        graph.AddOutput(result);
        var model = new Model(graph, HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var run = PassManager.Run(model, [new FoldSplats()],
            new PassOptions { Evaluator = new OnnxEvaluator(), VerifyInputs = new Dictionary<string, Tensor>() });
        Assert.Equal(1, run.Passes.Single().Rewrites);
    }

    [Fact]
    public void A_new_node_never_has_the_name_of_another()
    {
        var model = GraphParser.Parse("""
            ir_version: 8, opset: {"": 17}
            graph g(x: float[4, 8]) -> (y: float[4, 1]) {
              initializers { c: float[4, 8] = splat 1 }
              a: float[4, 8] = Add(x, c)  # c
              b: float[4, 8] = Neg(a)  # m/axes
              y: float[4, 1] = ReduceMean<axes = [1]>(b)  # m
            }
            """, HaloOperators.Catalogue);
        var inputs = Inputs(model);
        PassManager.Run(model, [new UpgradeOpset(), new FoldSplats()], new PassOptions { Evaluator = new OnnxEvaluator(), VerifyInputs = inputs });
        var names = model.Graph.Nodes.Select(n => n.Name).Where(n => n.Length > 0).ToList();
        Assert.Equal(names.Distinct().Count(), names.Count);
    }

    [Fact]
    public void Tensors_that_differ_in_one_element_anywhere_are_no_splats()
    {
        var data = new float[100_000];
        Assert.NotNull(Splat.Find(Chunked(data)));
        foreach (var at in new[] { 0, 1, 24_999, 25_000, 25_001, 99_999 })
        {
            var other = (float[])data.Clone();
            other[at] = -0f;
            Assert.Null(Splat.Find(Chunked(other)));
        }

        static Tensor Chunked(float[] values) =>
            new(ElementType.Float, [values.Length], new Chunks(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray()));
    }

    [Fact]
    public void A_splat_is_recognised_at_the_speed_of_memory()
    {
        var tensor = Tensor.Floats([64 << 20], new float[64 << 20]);
        var seconds = Enumerable.Range(0, 5).Min(_ =>
        {
            var watch = System.Diagnostics.Stopwatch.StartNew();
            Splat.Find(tensor);
            return watch.Elapsed.TotalSeconds;
        });
        var gigabytesPerSecond = tensor.SizeBytes / seconds / 1e9;
        output.WriteLine($"{gigabytesPerSecond:f1} GB/s");
        Assert.True(gigabytesPerSecond > 1, $"{gigabytesPerSecond:f1} GB/s"); // several on an idle machine; a loop over elements reaches less
    }

    /// <summary>Random inputs that the graph can take: token ids within any vocabulary, labels with masked ones, masks of ones with padding.</summary>
    private static Dictionary<string, Tensor> Inputs(Model model)
    {
        var random = new Random(17);
        return model.Graph.Inputs.Where(v => v.Initializer is null).ToDictionary(v => v.Name, v =>
        {
            var sizes = v.Shape!.Select((d, i) => d.Size ?? (i == 0 ? 2 : 8)).ToArray();
            var count = sizes.Aggregate(1L, (a, b) => a * b);
            return v.Type switch
            {
                ElementType.Float => Tensor.Floats(sizes, [.. Enumerable.Range(0, (int)count).Select(_ => (float)(random.NextDouble() - 0.5))]),
                ElementType.Int64 => Tensor.Of<long>(v.Type, sizes, [.. Enumerable.Range(0, (int)count).Select(i =>
                    v.Name == "attention_mask" ? 1L : v.Name == "labels" && i % 5 == 0 ? -100L : random.Next(50))]),
                _ => throw new InvalidOperationException(v.ToString()),
            };
        });
    }

    private sealed class Chunks(byte[] bytes) : ITensorBytes
    {
        public long SizeBytes => bytes.Length;

        public void ReadChunks(ChunkReader chunk)
        {
            for (var at = 0; at < bytes.Length; at += 100_000)
            {
                if (!chunk(bytes.AsSpan(at, Math.Min(100_000, bytes.Length - at))))
                    return;
            }
        }
    }
}
