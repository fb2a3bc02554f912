using Halo.CustomOps;
using Halo.Ir;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Generation;

/// <summary>Inference graphs that are given their sizes compute what they do without.</summary>
public sealed class GivenSizesTests
{
    [Theory]
    [InlineData(1, 1, 7)]
    [InlineData(2, 1, 4)]
    [InlineData(3, 5, 5)]
    public void Logits_and_caches_keep_their_bits(int rows, int tokens, int width)
    {
        var settings = new SessionSettings { Operators = OperatorKernels.Functions, Optimization = GraphOptimizationLevel.ORT_DISABLE_ALL };
        using var plain = new GraphSession(Path.Combine(InferenceFixture.Folder, "model.onnx"), settings);
        var model = Read();
        var sizes = GivenSizes.In(model);
        using var given = GraphSession.Of("given", model, settings);
        Assert.True(sizes.AreAll);
        Assert.NotEmpty(sizes.Names);
        using var expected = Run(plain, GivenSizes.None, rows, tokens, width);
        using var found = Run(given, sizes, rows, tokens, width);
        foreach (var (a, b) in expected.Zip(found))
            Assert.Equal(a.GetTensorDataAsSpan<float>().ToArray(), b.GetTensorDataAsSpan<float>().ToArray());
        sizes.Dispose();
    }

    [Fact]
    public void Nothing_of_the_graph_computes_sizes_any_more()
    {
        var model = Read();
        Assert.Contains(model.Graph.Nodes, n => n.Is("Shape"));
        GivenSizes.In(model);
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType is "Shape" or "Squeeze");
    }

    /// <summary>A size of something else than tokens and mask stays a node's.</summary>
    [Fact]
    public void Sizes_of_other_inputs_are_left()
    {
        var model = Read();
        var past = model.Graph.Inputs.First(i => InferenceInterface.LayerOf(i.Name) is not null);
        var build = Halo.Building.GraphBuilder.AfterDefinition(model.Graph, past, "other");
        model.Graph.AddOutput(build.Op("size", "Shape", [past]));
        var sizes = GivenSizes.In(model);
        Assert.False(sizes.AreAll);
        Assert.Contains("'other/size' (Shape)", sizes.Left);
    }

    private static Model Read() => OnnxReader.Read(Path.Combine(InferenceFixture.Folder, "model.onnx"), HaloOperators.Catalogue);

    private static IDisposableReadOnlyCollection<OrtValue> Run(GraphSession session, GivenSizes sizes, int rows, int tokens, int width)
    {
        long[] ids = [.. Enumerable.Range(0, rows * tokens).Select(i => (long)(17 * i % 300))], mask = [.. Enumerable.Repeat(1L, rows * width)];
        using var idValue = OrtValue.CreateTensorValueFromMemory(ids, [rows, tokens]);
        using var maskValue = OrtValue.CreateTensorValueFromMemory(mask, [rows, width]);
        session.BindInput("input_ids", idValue);
        session.BindInput("attention_mask", maskValue);
        sizes.Bind(session, rows, tokens, width);
        var layers = session.Inputs.Keys.Count(name => InferenceInterface.LayerOf(name) is not null) / 2;
        foreach (var (name, n) in InferenceInterface.PastNames(layers).Select((name, n) => (name, n)))
        {
            var cache = session.Inputs[name];
            var value = GraphSession.Allocate(cache.ElementDataType, [rows, cache.Dimensions[1], width - tokens, cache.Dimensions[3]]);
            var data = value.GetTensorMutableDataAsSpan<float>();
            for (var i = 0; i < data.Length; i++)
                data[i] = MathF.Sin(i + n);
            session.BindInput(name, value);
        }
        session.BindNewOutputs([("logits", true), .. InferenceInterface.PresentNames(layers).Select(name => (name, true))]);
        session.Run(GraphSession.NoRecording);
        return session.TakeOutputs();
    }
}
