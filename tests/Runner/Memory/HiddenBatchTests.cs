using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training.Engine;
using Halo.Serialization;

namespace Halo.Tests.Runner.Memory;

/// <summary>Graphs whose batch is hidden: the same values, and no sizes of activations before the run.</summary>
public sealed class HiddenBatchTests
{
    private static readonly IKernelMemory Kernels = new GpuKernelMemory(byCudnn: false);

    private static readonly string[] Batch = [.. TrainingInterface.Required.Concat(TrainingInterface.Optional).Select(b => b.Name)];

    [Theory]
    [InlineData("llama2-mha", "")]
    [InlineData("llama3-gqa", Pipelines.Rederive + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu + ",save-codes{of=all}")]
    public void Values_stay(string name, string pipeline)
    {
        var model = Read(name, pipeline);
        var inputs = VerificationInputs.For(model.Graph);
        var hidden = model.Clone();
        HiddenBatch.In(hidden.Graph, Batch, Kernels);
        Assert.All(hidden.Graph.Inputs.Where(i => Batch.Contains(i.Name)), i => Assert.False(i.Shape!.IsStatic));
        var evaluator = new OnnxEvaluator();
        foreach (var (before, after) in evaluator.Evaluate(model, inputs).Zip(evaluator.Evaluate(hidden, inputs)))
            Assert.True(before.ToBytes().AsSpan().SequenceEqual(after.ToBytes()));
    }

    [Fact]
    public void Activations_have_names_for_sizes_and_gradients_of_weights_have_sizes()
    {
        var model = Read("llama3-gqa", Pipelines.Rederive + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu);
        var known = HiddenBatch.KnownIn(model.Graph, Batch, Kernels);
        var gradients = model.Graph.Nodes.Where(n => n.OpType == nameof(SwiGluGrad)).ToList();
        Assert.NotEmpty(gradients);
        foreach (var node in gradients)
        {
            Assert.False(known[node.Outputs[0]]!.IsStatic);
            Assert.Equal(known[node.Inputs[1]!], known[node.Outputs[0]]); // dGate over gate
            Assert.Equal(known[node.Inputs[2]!], known[node.Outputs[1]]);
            Assert.NotEqual(known[node.Outputs[0]], known[node.Outputs[1]]);
        }
        Assert.All(model.Graph.Outputs, o => Assert.True(known[o]!.IsStatic));
        var rows = model.Graph.Nodes.Where(n => n.OpType == "ScaledMatMul" && !n.Output.IsGraphOutput).ToList();
        Assert.Equal(rows.Count, rows.Select(n => known[n.Output]![0].Symbol).OfType<string>().Distinct().Count());
        // What the runtime would give a buffer of the same sizes, and keep.
        ShapeInference.Run(model.Graph);
        Assert.True(RunMemory.Of(Buffers.Of(model.Graph, Kernels, null, known), Kernels).LiveBytes < RunMemory.Of(Buffers.Of(model.Graph, Kernels), Kernels).LiveBytes);
    }

    /// <summary>Codes have its sizes and not its width; a tensor that is read later is overwritten by nobody.</summary>
    [Fact]
    public void A_gradient_of_codes_lies_over_what_comes_in()
    {
        var model = Read("llama3-gqa", Pipelines.Rederive + ",quantize-operands{format=fp8}," + Pipelines.FuseForGpu + ",save-codes{of=swiglu},order-nodes");
        var known = HiddenBatch.KnownIn(model.Graph, Batch, Kernels);
        var buffers = Buffers.Of(model.Graph, Kernels, null, known);
        var gradients = model.Graph.Nodes.Where(n => n.OpType == nameof(SwiGluGrad)).ToList();
        Assert.NotEmpty(gradients);
        Assert.All(gradients, node =>
        {
            Assert.Equal(ElementType.Int8, node.Inputs[1]!.Type);
            Assert.Equal(known[node.Inputs[0]!], known[node.Outputs[0]]);
            Assert.Contains(buffers.All, b => b.Values.Contains(node.Inputs[0]!) && b.Values.Contains(node.Outputs[0]));
        });
        var run = RunMemory.Of(buffers, Kernels);
        Assert.DoesNotContain(Enumerable.Range(0, buffers.Order.Count), place => run.At(place)
            .Any(b => buffers.ValueIn(b, place) is null && known[b.Values[0]] is { IsStatic: false }));
    }

    private static Model Read(string name, string pipeline)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        if (pipeline.Length > 0)
            PassManager.Run(model, Pipelines.Parse(Pipelines.Cleanup + "," + pipeline), new PassOptions { Evaluator = new OnnxEvaluator() });
        return model;
    }
}
