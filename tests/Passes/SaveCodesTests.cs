using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;

namespace Halo.Tests.Passes;

public class SaveCodesTests
{
    private const string Built = Pipelines.Cleanup + "," + Pipelines.Rederive;

    private static readonly OnnxEvaluator Evaluator = new();

    /// <summary>The loss keeps its bits; gradients keep 30 dB in float32 graphs, codes being 40 dB below numbers, and the pass's floor in 8-bit ones.</summary>
    [Theory]
    [InlineData("llama2-mha", Built, "all", 30)]
    [InlineData("llama3-gqa", Built, "norms", 30)]
    [InlineData("llama32-tied", Built + ",recompute{by=feed-forward},deduplicate", "attention", 30)]
    [InlineData("llama3-gqa", Built + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu, "all", 10)]
    public void Gradients_read_codes_and_the_loss_does_not(string name, string pipeline, string kinds, double floorDb)
    {
        var (plain, model) = (Prepared(name, pipeline), Prepared(name, pipeline));
        var run = Run(model, $"save-codes{{of={kinds}}}");
        Assert.True(run.Passes.Single().Rewrites > 0);
        Assert.Equal(0, Run(model, $"save-codes{{of={kinds}}}").Passes.Single().Rewrites);
        var inputs = ExportFixture.Inputs(name, model);
        var (expected, found) = (Evaluator.Evaluate(plain, inputs), Evaluator.Evaluate(model, inputs));
        foreach (var (output, i) in model.Graph.Outputs.Select((o, i) => (o, i)))
        {
            if (output.Name == TrainingNames.Loss)
                Assert.True(expected[i].ToBytes().AsSpan().SequenceEqual(found[i].ToBytes()), output.Name);
            else
                Assert.True(OutputDifference.Of(output.Name, expected[i], found[i]).SqnrDb >= floorDb, output.Name);
        }
    }

    /// <summary>Codes are made where the forward part is, and numbers come back when they are read, in the order in which ONNX Runtime runs.</summary>
    [Theory]
    [InlineData("swiglu", 2, 0)]
    [InlineData("norms", 1, 1)]
    [InlineData("attention", 4, 4)]
    public void Nothing_waits_as_numbers(string kinds, int codesOfLayer, int decodedOfLayer)
    {
        var model = Prepared("llama2-mha", Built);
        Run(model, $"save-codes{{of={kinds}}},order-nodes");
        var order = RunOrder.Of(model.Graph).Select((node, place) => (node, place)).ToDictionary(p => p.node, p => p.place);
        var loss = order[model.Graph.Outputs.First(o => o.Name == TrainingNames.Loss).Producer!];
        var (coded, decoded) = (order.Where(n => n.Key.OpType == nameof(QuantizeBlocks)).ToList(), order.Where(n => n.Key.OpType == nameof(DequantizeBlocks)).ToList());
        var layers = order.Keys.Count(n => n.OpType == nameof(Attention));
        var norms = kinds == "norms" ? (2 * layers) + 1 : layers;
        Assert.Equal((codesOfLayer * norms, decodedOfLayer * norms), (coded.Count, decoded.Count));
        Assert.All(coded, n => Assert.True(n.Value < loss, n.Key.Name));
        Assert.All(decoded, n => Assert.True(n.Value > loss && order[n.Key.Output.Uses.Single().Node] - n.Value <= 4, n.Key.Name));
    }

    /// <summary>What evaluates a model makes no codes.</summary>
    [Fact]
    public void The_forward_part_alone_has_none()
    {
        var model = Prepared("llama3-gqa", Built);
        var plain = EvaluationGraph.Of(model.Clone());
        Run(model, "save-codes{of=all}");
        var evaluation = EvaluationGraph.Of(model);
        Assert.Equal(plain.Graph.Nodes.Select(n => n.OpType), evaluation.Graph.Nodes.Select(n => n.OpType));
    }

    [Theory]
    [InlineData("save-codes{of=norm}", "expected all, or some of swiglu, norms, attention")]
    [InlineData("save-codes{of=\"\"}", "expected all, or some of swiglu, norms, attention")]
    public void What_is_no_kind_is_refused(string pipeline, string message) =>
        Assert.Contains(message, Assert.ThrowsAny<HaloException>(() => Pipelines.Parse(pipeline)).Message, StringComparison.Ordinal);

    private static Model Prepared(string name, string pipeline)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        Run(model, pipeline);
        return model;
    }

    private static PassRun Run(Model model, string pipeline) => PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = Evaluator });
}
