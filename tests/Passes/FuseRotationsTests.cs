using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Optimizer;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;

namespace Halo.Tests.Passes;

/// <summary>On training graphs of a small model with rows of 2048 features, which a GPU rotates and rounds in one kernel.</summary>
public class FuseRotationsTests
{
    /// <summary>Every output keeps its bits, the report its words, and what is kept for the backward part its readers.</summary>
    [Theory]
    [InlineData("halo-1", "fp8", ElementType.Float, "")]
    [InlineData("halo-2", "int8", ElementType.BFloat16, "")]
    [InlineData("halo-2", "fp8", ElementType.BFloat16, ",recompute{by=layer weights=true},fuse-recomputed,order-nodes")]
    [InlineData("halo-1", "int8", ElementType.Float, ",recompute{by=feed-forward},fuse-recomputed,save-codes{of=all},order-nodes")]
    public void Every_bit_stays(string scheme, string format, ElementType parameters, string levers)
    {
        var evaluator = new OnnxEvaluator();
        var model = Built(scheme, format, parameters, levers);
        var (line, records) = (LinearReport.Line(model.Graph), LinearReport.Of(model.Graph).ToJsonString());
        var (pairs, memory) = (Pairs(model), PlannedBytes(model));
        Assert.True(pairs >= 2 * Layers(model));

        var inputs = parameters == ElementType.Float ? VerificationInputs.For(model.Graph) : null;
        var run = PassManager.Run(model, [new FuseRotations()], new PassOptions { Evaluator = evaluator, VerifyInputs = inputs }).Passes.Single();
        Assert.True(pairs == run.Rewrites, $"{run.Rewrites} of {pairs}:\n{string.Join('\n', run.Skipped)}");
        Assert.All(run.Measured ?? [], m => Assert.True(m.IsIdentical, $"{m}"));
        Assert.Equal(0, Pairs(model));
        Assert.Equal((line, records), (LinearReport.Line(model.Graph), LinearReport.Of(model.Graph).ToJsonString()));
        Assert.True(PlannedBytes(model) <= memory, $"{PlannedBytes(model)} bytes, where rotated tensors took {memory}");
    }

    /// <summary>The graph that a GPU runs has them, with residuals offloaded and codes lent as well; the artifact's has none.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_run_on_a_gpu_has_them(bool offloads)
    {
        var model = Built("halo-1", "fp8", ElementType.Float, ",order-nodes");
        var pairs = Pairs(model);
        var config = new TrainConfig { Model = "llama-tiny", Device = GraphDevice.Cuda, OffloadResiduals = offloads };
        var run = TrainingPlan.AsRun(config, model, TrainingInterface.Of(model.Graph, config.Model, config.Device), OptimizerSettings.Of(config)).Training;
        Assert.Equal((pairs, 0), (Fused(run), Fused(model)));
        Assert.NotEmpty(LendGradients.LoansOf(run.Graph));
    }

    /// <summary>Where codes of weights are made once an update, these are fused by themselves.</summary>
    [Fact]
    public void Codes_of_weights_are_made_by_them()
    {
        var model = Built("halo-1", "int8", ElementType.BFloat16, ",order-nodes");
        var config = new TrainConfig { Model = "llama-tiny", Device = GraphDevice.Cuda, WeightCodes = WeightCodes.Update, BatchSize = 4 };
        var (training, codes) = TrainingPlan.AsRun(config, model, TrainingInterface.Of(model.Graph, config.Model, config.Device), OptimizerSettings.Of(config));
        Assert.Equal(Pairs(model), Fused(training) + Fused(codes!));
        Assert.True(Fused(codes!) == 5 * Layers(model) && Fused(training) == 2 * Layers(model));
    }

    private static Model Built(string scheme, string format, ElementType parameters, string levers)
    {
        var forward = LlamaGraph.Build(DecoderConfig.Load(LlamaTiny.Folder) with { HiddenSize = 2048, IntermediateSize = 256, Layers = 2 }, 2, 24, false, ElementType.BFloat16, parameters);
        var model = SourceGraph.Built(forward, Pipelines.Differentiate(), "").Model;
        PassManager.Run(model, Pipelines.Parse($"rotate-operands{{scheme={scheme}}},quantize-operands{{format={format}}},{Pipelines.FuseForGpu}{levers}"),
            new PassOptions { Evaluator = new OnnxEvaluator() });
        return model;
    }

    private static int Pairs(Model model) => model.Graph.Nodes.Count(n => n.Is(nameof(Quantize), HaloDomain.Name)
        && n.Inputs[0]!.Producer is { } made && made.Is(nameof(HadamardTransform), HaloDomain.Name) && HadamardQuantize.IsOneKernel(made, n.String("format", ""), n.Outputs.Count == 3));

    private static int Fused(Model model) => model.Graph.Nodes.Count(n => n.Is(nameof(HadamardQuantize), HaloDomain.Name));

    private static int Layers(Model model) => model.Graph.Nodes.Count(n => n.Is(nameof(AttentionGrad), HaloDomain.Name));

    private static long PlannedBytes(Model model) => GraphMemory.Of("training", model.Graph, new GpuKernelMemory(byCudnn: true)).PeakBytes;
}
