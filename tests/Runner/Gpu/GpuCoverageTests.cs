using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Optimizer;
using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;
using Halo.Tests.Passes;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Every graph that training makes has a kernel on the GPU for each of its nodes, asked of the provider itself; nothing is run.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class GpuCoverageTests(EmulatedGpu gpu)
{
    private const string Built = "built", Joint = "training.onnx", Joint16 = "training-bf16.onnx", Raw = "raw ";

    /// <summary>A configuration, what its graph is made of, and the float type of a graph that is made.</summary>
    public static TheoryData<string, string, FloatPrecision> Graphs
    {
        get
        {
            var data = new TheoryData<string, string, FloatPrecision>();
            foreach (var name in ExportFixture.Names)
            {
                data.Add(name, Joint, FloatPrecision.Fp32);
                data.Add(name, Joint, FloatPrecision.Bf16);
                data.Add(name, Joint16, FloatPrecision.Bf16);
                data.Add(name, Built, FloatPrecision.Bf16);
            }
            data.Add("llama2-mha", Built, FloatPrecision.Fp32);
            data.Add("llama2-mha", Built, FloatPrecision.Fp16);
            foreach (var precision in Enum.GetValues<FloatPrecision>())
            {
                foreach (var file in ForwardExports.Files)
                    data.Add("llama32-tied", Raw + file, precision);
            }
            data.Add("llama2-mha", "logits-dynamo-sdpa-opset23.onnx", FloatPrecision.Bf16);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Graphs))]
    public void Steps_before_and_after_each_rewrite(string name, string origin, FloatPrecision precision)
    {
        Assert.Empty(gpu.LeftOver(Make(name, origin, precision)));
        foreach (var (level, format) in new[] { ("halo-0", "fp8"), ("halo-1", "int8"), ("halo-2", "fp8") })
        {
            var model = Make(name, origin, precision);
            PassManager.Run(model, Pipelines.Rewrite(HaloScheme.Parse(level), GemmFormats.Parse(format)), new PassOptions { Evaluator = new OnnxEvaluator() });
            Assert.Contains(model.Graph.Nodes, n => n.Is("ScaledMatMul", HaloDomain.Name));
            Assert.Empty(gpu.LeftOver(model));
        }
    }

    [Theory]
    [InlineData(Joint)]
    [InlineData(Joint16)]
    [InlineData(Raw + "logits-dynamo-sdpa-opset23.onnx")]
    [InlineData(Built)]
    public void Evaluation_of_several_batches(string origin)
    {
        var passes = Pipelines.Rewrite(HaloScheme.Parse("halo-2"), GemmFormats.Parse("fp8"));
        Assert.Empty(gpu.LeftOver(EvaluationGraph.Of(Make("llama32-tied", origin, FloatPrecision.Fp32))));
        Assert.Empty(gpu.LeftOver(EvaluationGraph.Widened(new SourceGraph(Make("llama32-tied", origin, FloatPrecision.Fp32), null, ""), 2, passes)));
    }

    [Fact]
    public void Updates()
    {
        var graph = Make("llama2-mha", Built, FloatPrecision.Fp32).Graph;
        (string Name, Shape Shape)[] parameters = [.. graph.Inputs.Where(i => i.Type == ElementType.Float).Select(i => (i.Name, i.Shape!))];
        Assert.Empty(gpu.LeftOver(AdamWGraph.Build(parameters, new AdamWSettings(WeightDecay: 0.01, ClipNorm: 1))));
        Assert.Empty(gpu.LeftOver(AdamWGraph.Build(parameters, new AdamWSettings())));
        Assert.Empty(gpu.LeftOver(GradientGraphs.Norm(parameters)));
        Assert.Empty(gpu.LeftOver(GradientGraphs.Accumulate(parameters)));
        const ElementType Half = ElementType.BFloat16;
        Assert.Empty(gpu.LeftOver(AdamWGraph.Build(parameters, new AdamWSettings(WeightDecay: 0.01, ClipNorm: 1), Half)));
        Assert.Empty(gpu.LeftOver(AdamWGraph.Build(parameters, new AdamWSettings(), Half, ElementType.Float)));
        Assert.Empty(gpu.LeftOver(GradientGraphs.Norm(parameters, Half)));
        Assert.Empty(gpu.LeftOver(GradientGraphs.Accumulate(parameters, Half)));
    }

    private static Model Make(string name, string origin, FloatPrecision precision)
    {
        var settings = new GradientSettings(ForwardExports.Rows, ForwardExports.Tokens, precision, origin.StartsWith(Raw, StringComparison.Ordinal), null,
            KeepParameters: !origin.StartsWith(Raw, StringComparison.Ordinal));
        if (origin == Built)
        {
            var forward = LlamaGraph.Build(DecoderConfig.Load(ExportFixture.Folder(name)), 3, 24, false, precision.Type(), ElementType.Float);
            return SourceGraph.Built(forward, Pipelines.Differentiate(), "").Model;
        }
        if (origin is not (Joint or Joint16))
            return ForwardExports.Gradient(name, settings.Raw ? origin[Raw.Length..] : origin, settings);
        var model = OnnxReader.Read(ExportFixture.File(name, origin), HaloOperators.Catalogue);
        ShapeInference.Run(model.Graph);
        return origin == Joint16 || precision == FloatPrecision.Fp32 ? model
            : SourceGraph.Built(model, [.. Pipelines.Parse(Pipelines.Cleanup), new ConvertPrecision(precision, KeepParameters: true)], "").Model;
    }
}
