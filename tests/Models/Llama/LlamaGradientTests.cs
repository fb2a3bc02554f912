using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;

namespace Halo.Tests.Models.Llama;

/// <summary>The gradient of graphs that are built here, against PyTorch's of the same checkpoints.</summary>
public class LlamaGradientTests
{
    public static TheoryData<string, OperatorKernels> Exports
    {
        get
        {
            var data = new TheoryData<string, OperatorKernels>();
            foreach (var name in ExportFixture.Names)
            {
                data.Add(name, OperatorKernels.Functions);
                data.Add(name, OperatorKernels.Native);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Loss_and_every_gradient_of_a_checkpoint_are_PyTorchs(string name, OperatorKernels operators)
    {
        using var expected = SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        using var checkpoint = CheckpointReader.Open(ExportFixture.Folder(name));
        var model = TrainingGraph(ExportFixture.Folder(name), 3, 24);
        var outputs = new OnnxEvaluator(operators).Evaluate(model, LlamaInputs.Of(model.Graph, checkpoint.Tensors, expected.Tensors));
        Assert.Equal(["loss", .. checkpoint.Tensors.Keys.Select(p => $"grad.{p}").Order(StringComparer.Ordinal)],
            model.Graph.Outputs.Select(o => o.Name).Order(StringComparer.Ordinal).OrderBy(n => n != "loss"));
        foreach (var (output, found) in model.Graph.Outputs.Zip(outputs))
        {
            var error = RelativeError.Of(found.ToArray<float>(), expected.ReadFloats(output.Name));
            Assert.True(error <= Tolerances.OtherOperators, $"{output.Name}: {error:E1}");
        }
    }

    [Fact]
    public void The_bundled_model_has_PyTorchs_loss_and_gradient_norms()
    {
        using var batch = SafetensorsFile.Open(Fixture.Path("training-8x256-batch.safetensors"));
        using var checkpoint = CheckpointReader.Open(LlamaTiny.Folder);
        var model = TrainingGraph(LlamaTiny.Folder, LlamaTiny.TrainingBatch, LlamaTiny.TrainingSequence);
        var outputs = new OnnxEvaluator(OperatorKernels.Native).Evaluate(model, LlamaInputs.Of(model.Graph, checkpoint.Tensors, batch.Tensors));
        var expected = Fixture.Json("training-8x256-expected.json");
        foreach (var (output, found) in model.Graph.Outputs.Zip(outputs))
        {
            var value = Math.Sqrt(found.ToArray<float>().Sum(x => (double)x * x));
            var wanted = (output.Name == "loss" ? expected : expected.GetProperty("gradient_norms")).GetProperty(output.Name).GetDouble();
            Assert.True(Math.Abs((value / wanted) - 1) <= Tolerances.OtherOperators, $"{output.Name}: {value} against {wanted}");
        }
        Assert.Equal(LlamaParameters.Of(DecoderConfig.Load(LlamaTiny.Folder)).Count + 1, outputs.Count);
    }

    [Theory]
    [InlineData("llama32-tied")]
    [InlineData("llama3-gqa")]
    public void Every_linear_layer_has_its_three_products(string name)
    {
        var config = DecoderConfig.Load(ExportFixture.Folder(name));
        foreach (var biased in new[] { config, config with { AttentionBias = true, MlpBias = true } })
        {
            var model = LlamaGraph.Build(biased, 3, 24);
            Differentiate(model);
            var (layers, _) = LinearGemms.In(model.Graph);
            Assert.Equal((7 * config.Layers) + 1, layers.Count);
            Assert.All(layers, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        }
    }

    private static Model TrainingGraph(string folder, int batch, int sequence)
    {
        var model = LlamaGraph.Build(DecoderConfig.Load(folder), batch, sequence);
        Differentiate(model);
        return model;
    }

    private static void Differentiate(Model model) =>
        PassManager.Run(model, [new BuildGradient(), .. Pipelines.Parse(Pipelines.Cleanup)], new PassOptions { Evaluator = new OnnxEvaluator() });
}
