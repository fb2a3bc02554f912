using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Xunit.Abstractions;

namespace Halo.Tests.Passes;

/// <summary>Every forward export becomes a training graph whose loss and gradients are PyTorch's.</summary>
public class ForwardExportsTests(ITestOutputHelper output)
{
    /// <summary>The export's constants (RoPE frequencies) are rounded to bfloat16, though the arithmetic is float32.</summary>
    private const double BFloat16 = Tolerances.BFloat16Graph;

    private const double Float = Tolerances.OtherOperators;

    public static TheoryData<string, string> Exports
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in new[] { "llama2-mha", "llama32-tied" })
            {
                foreach (var file in ForwardExports.Files.Append("training-bf16.onnx"))
                    data.Add(name, file);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Loss_and_every_gradient_are_PyTorchs(string name, string file)
    {
        var model = ForwardExports.Gradient(name, file, new GradientSettings(ForwardExports.Rows, ForwardExports.Tokens));
        AreExpected(name, ForwardExports.Step(name, model), file.Contains("bf16", StringComparison.Ordinal) ? BFloat16 : Float);
        Assert.Equal(ForwardExports.Checkpoint(name).Keys.Order(), model.Graph.Inputs.Where(i => i.Type == ElementType.Float).Select(i => i.Name).Order());
        Assert.All(model.Graph.Values.Values, v => Assert.True(v.Shape is { IsStatic: true }, v.ToString()));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.Is("Shape") || n.Is("Range") || n.Is("Cos"));
    }

    [Theory]
    [InlineData("loss-dynamo-opset18.onnx")]
    [InlineData("logits-dynamo-sdpa-opset23.onnx")]
    public void Half_precision_stays_near_PyTorchs_float32(string file)
    {
        var model = ForwardExports.Gradient("llama2-mha", file, new GradientSettings(ForwardExports.Rows, ForwardExports.Tokens, FloatPrecision.Fp16));
        Assert.All(model.Graph.Inputs.Where(i => i.Type.IsFloat()), i => Assert.Equal(ElementType.Float16, i.Type));
        Assert.All(model.Graph.Outputs, o => Assert.Equal(o.Name == "loss" ? ElementType.Float : ElementType.Float16, o.Type));
        AreExpected("llama2-mha", ForwardExports.Step("llama2-mha", model), Tolerances.BFloat16Graph);
    }

    /// <summary>What the CPU cannot run in bfloat16, brought back to float32, differs from the plain graph by the constants' rounding alone.</summary>
    [Fact]
    public void A_graph_survives_the_way_to_bfloat16_and_back()
    {
        var model = ForwardExports.Gradient("llama32-tied", "logits-dynamo-opset18.onnx",
            new GradientSettings(ForwardExports.Rows, ForwardExports.Tokens, FloatPrecision.Bf16, Raw: true));
        Assert.Contains(model.Graph.Nodes, n => n.Is("MatMul") && n.Output.Type == ElementType.BFloat16);
        Assert.All(model.Graph.Nodes.Where(n => n.OpType is "Softmax" or "ReduceMean" or "Pow" or "SoftmaxCrossEntropyLoss"),
            n => Assert.Equal(ElementType.Float, n.Output.Type));
        PassManager.Run(model, [new ConvertPrecision(FloatPrecision.Fp32)], new PassOptions());
        AreExpected("llama32-tied", ForwardExports.Step("llama32-tied", model), Tolerances.BFloat16Graph);
    }

    [Fact]
    public void A_second_run_of_the_pipeline_finds_nothing_to_name_fix_or_convert()
    {
        var settings = new GradientSettings(ForwardExports.Rows, ForwardExports.Tokens);
        var model = ForwardExports.Gradient("llama32-tied", "logits-torchscript-opset17.onnx", settings);
        var again = PassManager.Run(model, Pipelines.Gradient(settings),
            new PassOptions { Evaluator = new OnnxEvaluator(), Checkpoint = ForwardExports.Checkpoint("llama32-tied") });
        Assert.All(again.Passes, p => Assert.True(p.Rewrites == 0, p.Pass.Name));
    }

    private void AreExpected(string name, Dictionary<string, float[]> found, double bound)
    {
        var expected = ForwardExports.Expected(name);
        Assert.True(expected.Count > 20);
        var errors = expected.ToDictionary(e => e.Key, e => RelativeError.Of(found[e.Key], e.Value));
        var worst = errors.MaxBy(e => e.Value);
        output.WriteLine($"{worst.Value:e2} {worst.Key}");
        Assert.True(worst.Value <= bound, $"{worst.Key}: {worst.Value:e2}");
    }
}
