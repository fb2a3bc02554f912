using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Passes;

public class RecomputeTests
{
    private const string Layers = "recompute";

    private const string Kinds = "recompute{by=kind kinds=\"activation+elementwise+attention\"}";

    private const string Differentiate = "upgrade-opset,remove-dead-code,fold-constants,deduplicate,build-gradient,deduplicate";

    private static readonly OnnxEvaluator Evaluator = new();

    public static TheoryData<string, string, string, string> Cases => new()
    {
        { "llama2-mha", Pipelines.Cleanup, Layers, "" },
        { "llama32-tied", Pipelines.Cleanup, Layers, "" },
        { "llama3-gqa", Pipelines.Cleanup, Kinds, "" },
        { "llama2-mha", Differentiate, Kinds, "" },
        { "llama32-tied", Differentiate, Layers, "" },
        { "llama3-gqa", Differentiate, Layers, "" },
        { "llama2-mha", Differentiate + ",rotate-operands{scheme=halo-2},quantize-operands{format=fp8}", Layers, "" },
        { "llama3-gqa", Pipelines.Cleanup + ",rotate-operands{scheme=halo-1},quantize-operands{format=int8}",
            "recompute{by=kind kinds=\"quantize+activation+elementwise\"}", "" },
        { "llama2-mha", Differentiate, Layers, "rotate-operands{scheme=halo-2},quantize-operands{format=fp8}" },
        { "llama3-gqa", Differentiate, "recompute{by=feed-forward layers=1}", "order-nodes" },
        { "llama2-mha", Differentiate + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu, "recompute{by=feed-forward weights=true}", "order-nodes" },
        { "llama32-tied", Pipelines.Cleanup + ",rotate-operands{scheme=halo-2},quantize-operands{format=int8}," + Pipelines.FuseForGpu, "recompute{by=weights}", "" },
        { "llama32-tied", Pipelines.Cleanup, Kinds, "rotate-operands{scheme=halo-1},quantize-operands{format=fp8}" },
    };

    /// <summary>Every output keeps its bits, also where the rewrite comes after.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Nothing_changes_but_when_things_are_computed(string name, string before, string recompute, string after)
    {
        var plain = Prepared(name, before);
        var model = Prepared(name, before);
        var run = Run(model, recompute);
        Assert.True(run.Passes.Single().Rewrites > 0);
        Assert.Empty(run.Passes.Single().Skipped);
        Assert.Equal(0, Run(model, recompute).Passes.Single().Rewrites);
        Run(plain, after);
        Run(model, after);

        var inputs = ExportFixture.Inputs(name, model);
        var expected = Evaluator.Evaluate(plain, inputs);
        var found = Evaluator.Evaluate(model, inputs);
        foreach (var (output, i) in model.Graph.Outputs.Select((o, i) => (o, i)))
            Assert.True(expected[i].ToBytes().AsSpan().SequenceEqual(found[i].ToBytes()), output.Name);

        var quantized = (before + after).Contains("quantize", StringComparison.Ordinal);
        foreach (var (layer, original) in LinearGemms.In(model.Graph).Layers.Zip(LinearGemms.In(plain.Graph).Layers))
        {
            Assert.Equal(original.Gemms.Select(g => g.Role), layer.Gemms.Select(g => g.Role).Distinct());
            Assert.All(layer.Gemms, g => Assert.Equal(quantized && !layer.IsHead, g.IsQuantized));
        }
    }

    [Fact]
    public void Copies_wait_for_the_gradient_behind_their_layer()
    {
        var model = Prepared("llama3-gqa", Differentiate);
        Run(model, Layers);
        var waits = new HashSet<Value>();
        foreach (var node in model.Graph.Nodes)
        {
            if (node.Is("Barrier", HaloDomain.Name) || node.Inputs.Any(v => v is not null && waits.Contains(v)))
                waits.UnionWith(node.Outputs);
        }
        var copies = model.Graph.Nodes.Where(n => n.Name.EndsWith("/again", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(copies);
        Assert.All(copies, n => Assert.Contains(n.Output, waits));
        // The last product of a layer gives what the next one is kept with: nobody needs it again.
        Assert.DoesNotContain(LinearGemms.In(model.Graph).Layers, l => l.Name.EndsWith("down_proj", StringComparison.Ordinal) && l.Of(GemmRole.F).Count() > 1);
    }

    [Theory]
    [InlineData("recompute{by=kind}", "expected kinds with by=kind, and none with by=layer")]
    [InlineData("recompute{kinds=norm}", "expected kinds with by=kind, and none with by=layer")]
    [InlineData("recompute{by=kind kinds=\"norm+nrom\"}", "expected some of norm, activation")]
    [InlineData("recompute", "expected a training graph, with a loss and gradients, found loss.")]
    public void What_cannot_be_done_is_refused(string pipeline, string message)
    {
        var model = GraphParser.Parse("""
            ir_version: 10, opset: {"": 21}
            graph g(w: float[3]) -> (loss: float[]) {
              loss: float[] = ReduceSum<keepdims = 0>(w)
            }
            """, HaloOperators.Catalogue);
        Assert.Contains(message, Assert.ThrowsAny<HaloException>(() => Run(model, pipeline)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_without_layers_is_refused()
    {
        var model = GraphParser.Parse("""
            ir_version: 10, opset: {"": 21}
            graph g(w: float[3]) -> (loss: float[]) {
              loss: float[] = ReduceSum<keepdims = 0>(w)
            }
            """, HaloOperators.Catalogue);
        Run(model, "build-gradient");
        Assert.Contains("expected layers with an attention each", Assert.Throws<PassException>(() => Run(model, Layers)).Message, StringComparison.Ordinal);
    }

    /// <summary>A joint export, differentiated anew if the pipeline does so.</summary>
    private static Model Prepared(string name, string pipeline)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        if (pipeline.Contains("build-gradient", StringComparison.Ordinal))
        {
            foreach (var output in model.Graph.Outputs.Where(o => o.Name != TrainingNames.Loss).ToList())
                model.Graph.RemoveOutput(output);
        }
        Run(model, pipeline);
        return model;
    }

    private static PassRun Run(Model model, string pipeline) =>
        PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = Evaluator });
}
