using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Passes;

public class OffloadResidualsTests
{
    private const string Built = Pipelines.Cleanup + "," + Pipelines.Rederive;

    private const string Quantized = Built + ",rotate-operands{scheme=halo-2},quantize-operands{format=fp8}," + Pipelines.FuseForGpu;

    private static readonly OnnxEvaluator Evaluator = new();

    public static TheoryData<string, string> Cases => new()
    {
        { "llama2-mha", Built + ",recompute,order-nodes" },
        { "llama3-gqa", Built + ",recompute{by=feed-forward weights=true},order-nodes" },
        { "llama32-tied", Pipelines.Cleanup + ",recompute{by=kind kinds=\"norm+elementwise\"},order-nodes" },
        { "llama3-gqa", Quantized + ",recompute{weights=true},order-nodes" },
        { "llama2-mha", Quantized + ",order-nodes" },
    };

    /// <summary>Every output keeps its bits, by native kernels and by function bodies; what lies in the room before is NaN and never read.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Nothing_changes_but_where_the_stream_lies(string name, string pipeline)
    {
        var (plain, model) = (Prepared(name, pipeline), Prepared(name, pipeline));
        var inputs = ExportFixture.Inputs(name, plain);
        var run = Run(model, "offload-residuals").Passes.Single();
        Assert.True(run.Rewrites > 0);
        Assert.Equal(run.Rewrites, OffloadResiduals.RoomOf(model.Graph).Count());
        Assert.Equal(0, Run(model, "offload-residuals").Passes.Single().Rewrites);
        foreach (var room in OffloadResiduals.RoomOf(model.Graph))
            inputs.Add(room.Name, Tensor.Floats(room.Shape!.Sizes, [.. Enumerable.Repeat(float.NaN, (int)room.Shape.ElementCount!.Value)]));
        foreach (var evaluator in new[] { Evaluator, new OnnxEvaluator(OperatorKernels.Native) })
        {
            var (expected, found) = (evaluator.Evaluate(plain, inputs.Where(i => !i.Key.StartsWith(OffloadResiduals.Prefix, StringComparison.Ordinal)).ToDictionary()),
                evaluator.Evaluate(model, inputs));
            foreach (var (output, i) in model.Graph.Outputs.Select((o, i) => (o, i)))
                Assert.True(expected[i].ToBytes().AsSpan().SequenceEqual(found[i].ToBytes()), output.Name);
        }
    }

    /// <summary>In the order in which ONNX Runtime runs: copies leave in the forward part, come back one stretch ahead, and few of them are there at a time.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void The_stream_is_away_between_forward_and_backward_part(string name, string pipeline)
    {
        var model = Prepared(name, pipeline);
        Run(model, "offload-residuals");
        var order = RunOrder.Of(model.Graph).ToList();
        var loss = order.IndexOf(model.Graph.Outputs.First(o => o.Name == TrainingNames.Loss).Producer!);
        var leaving = order.Where(n => n.OpType == nameof(OffloadStart)).ToList();
        var coming = order.Where(n => n.OpType == nameof(FetchStart)).ToList();
        Assert.Equal(leaving.Count, coming.Count);
        Assert.All(leaving, n => Assert.True(LastReadOf(n.Inputs[1]!) < loss, $"{n.Inputs[1]} is read behind the forward part"));
        Assert.All(coming, n => Assert.True(order.IndexOf(n) > loss, $"{n} comes with the forward part"));
        // The value that comes back last is the one that left first.
        Assert.Equal(leaving.Select(n => n.Inputs[0]!.Name), Enumerable.Reverse(coming).Select(n => n.Inputs[0]!.Producer!.Inputs[0]!.Producer!.Inputs[0]!.Name));
        // When one is waited for, the next one's way has begun, and no other's.
        foreach (var (i, fetch) in coming.Index())
        {
            var wait = order.IndexOf(fetch.Output.Uses.Single(u => u is { Index: 0, Node.OpType: nameof(CopyWait) }).Node);
            Assert.Equal(Math.Min(i + 2, coming.Count), coming.Count(n => order.IndexOf(n) < wait));
        }

        int LastReadOf(Value value) => value.Uses.Max(u => u.Node.OpType is "Barrier" or "Reshape" ? LastReadOf(u.Node.Output) : order.IndexOf(u.Node));
    }

    [Theory]
    [InlineData("llama2-mha", "upgrade-opset,remove-dead-code", "expected a training graph, with a loss")]
    public void What_cannot_be_done_is_refused(string name, string pipeline, string message)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        model.Graph.RemoveOutput(model.Graph.Outputs.First(o => o.Name == TrainingNames.Loss));
        Run(model, pipeline);
        Assert.Contains(message, Assert.Throws<PassException>(() => Run(model, "offload-residuals")).Message, StringComparison.Ordinal);
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
        Assert.Contains("expected layers with an attention each", Assert.Throws<PassException>(() => Run(model, "offload-residuals")).Message, StringComparison.Ordinal);
    }

    private static Model Prepared(string name, string pipeline)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        Run(model, pipeline);
        return model;
    }

    private static PassRun Run(Model model, string pipeline) =>
        PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = Evaluator });
}
