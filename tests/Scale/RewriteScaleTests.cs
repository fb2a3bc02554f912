using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Sources;
using Halo.Serialization;

namespace Halo.Tests.Scale;

/// <summary>What keeps the rewrite of deep and wide models cheap; seconds are measured by <c>tests/Benchmarks/rewrite-scale.sh</c>.</summary>
/// <remarks>Work is counted in bytes allocated by the thread, which are the same on every machine.</remarks>
public class RewriteScaleTests
{
    [Fact]
    public void All_layers_of_the_405B_depth_are_found_and_rewritten()
    {
        using var folder = new TemporaryFolder();
        var shape = LlamaShape.Llama405B() with { Sequence = 8, Vocabulary = 512 };
        var (model, _) = Rewrite(folder, shape);
        var (layers, _) = LinearGemms.In(model.Graph);
        var rewritten = layers.Where(l => !l.IsHead).ToList();
        Assert.Equal(7 * shape.Layers, rewritten.Count);
        Assert.All(rewritten, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(rewritten.SelectMany(l => l.Gemms), g => Assert.Equal(("int8", "int8"), (g.A.Format, g.B.Format)));
        Assert.True(model.Functions.Count < 32, $"{model.Functions.Count} functions: their number must not follow the number of layers");
    }

    [Fact]
    public void Twice_the_layers_take_twice_the_work()
    {
        using var folder = new TemporaryFolder();
        var shape = LlamaShape.Llama8B() with { Sequence = 8, Vocabulary = 512 };
        Rewrite(folder, shape with { Layers = 2 }); // what is made once a process
        var half = Rewrite(folder, shape with { Layers = 32 }).AllocatedBytes;
        var full = Rewrite(folder, shape with { Layers = 64 }).AllocatedBytes;
        Assert.True(full <= 2.3 * half, $"{half:N0} bytes for 32 layers, {full:N0} for 64");
    }

    [Fact]
    public void No_large_constant_is_held()
    {
        using var folder = new TemporaryFolder();
        var shape = LlamaShape.Llama8B(layers: 2) with { Sequence = 32 };
        const int Vocabulary = 16384;
        const long VocabularyTimesHidden = Vocabulary * 4096L * 4;
        Rewrite(folder, shape with { Vocabulary = 512 }); // what is made once a process
        var few = Rewrite(folder, shape with { Vocabulary = 512 }).AllocatedBytes;
        var many = Rewrite(folder, shape with { Vocabulary = Vocabulary }).AllocatedBytes;
        Assert.True(many - few < 1 << 20, $"{many - few:N0} bytes more for a constant of {VocabularyTimesHidden:N0}");
    }

    [Fact]
    public void The_same_graph_gives_the_same_bytes()
    {
        using var folder = new TemporaryFolder();
        var shape = LlamaShape.Llama8B(layers: 4) with { Sequence = 8, Vocabulary = 512 };
        Rewrite(folder, shape);
        var first = File.ReadAllBytes(folder["out.onnx"]);
        Rewrite(folder, shape);
        Assert.True(first.AsSpan().SequenceEqual(File.ReadAllBytes(folder["out.onnx"])));
    }

    /// <summary>From file to file, as <c>halo rewrite</c> does it; each time from a new file, because a model holds its own until it is collected.</summary>
    private static (Model Model, long AllocatedBytes) Rewrite(TemporaryFolder folder, LlamaShape shape)
    {
        var input = Path.Combine(Directory.CreateDirectory(folder[$"in-{Directory.GetDirectories(folder.Path).Length}"]).FullName, "in.onnx");
        SparseModelFile.Write(ScaledExport.Make(OnnxReader.Read(ExportFixture.File("llama3-gqa", "training.onnx"), HaloOperators.Catalogue), shape), input);
        var start = GC.GetAllocatedBytesForCurrentThread();
        var model = GraphRewriter.Rewrite(input, Pipelines.Rewrite(HaloScheme.Parse("halo-2"), GemmFormats.Parse("int8"))).Model;
        OnnxWriter.Write(model, folder["out.onnx"]);
        LinearReport.Line(model.Graph);
        return (model, GC.GetAllocatedBytesForCurrentThread() - start);
    }
}
