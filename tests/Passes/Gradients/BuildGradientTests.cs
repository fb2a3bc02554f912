using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Gradients;

public class BuildGradientTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    /// <summary>The forward part of a joint export, differentiated here, against PyTorch's loss and gradients.</summary>
    [Theory]
    [MemberData(nameof(ExportFixture.All), MemberType = typeof(ExportFixture))]
    public void Loss_and_gradients_of_a_llama_are_those_of_pytorch(string name)
    {
        var model = ForwardOf(name);
        Run(model, "build-gradient");
        AssertExpected(name, model);
        var (layers, _) = LinearGemms.In(model.Graph);
        var blocks = name == "llama3-gqa" ? 3 : 2;
        Assert.Equal((7 * blocks) + 1, layers.Count);
        Assert.All(layers, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(layers.SelectMany(l => l.Gemms), g => Assert.Equal((2, false), (g.Node.Output.Shape!.Rank, g.IsFlipped)));
    }

    /// <summary>Joint graphs without their gradients.</summary>
    private static Model ForwardOf(string name)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"));
        foreach (var output in model.Graph.Outputs.Where(o => o.Name.StartsWith(LinearGemms.GradientPrefix, StringComparison.Ordinal)).ToList())
            model.Graph.RemoveOutput(output);
        Run(model, "upgrade-opset,remove-dead-code,fold-constants,deduplicate");
        return model;
    }

    private static void AssertExpected(string name, Model model)
    {
        using var expected = CheckpointReader.Open(ExportFixture.File(name, "expected.safetensors"));
        using var weights = CheckpointReader.Open(ExportFixture.File(name, "model.safetensors"));
        var inputs = model.Graph.Inputs.ToDictionary(i => i.Name, i => Read((i.Type.IsFloat() ? weights : expected)[i.Name]));
        var found = Evaluator.Evaluate(model, inputs);
        foreach (var (output, tensor) in model.Graph.Outputs.Zip(found))
        {
            var error = RelativeError.Of(tensor, Read(expected[output.Name]));
            Assert.True(error <= 1e-5, $"{output.Name}: {error:E2}");
        }
    }

    private static Tensor Read(SafetensorsTensor tensor) => new(tensor.DType, tensor.Shape, new MemoryBytes(tensor.Bytes().ToArray()));

    private static PassRun Run(Model model, string pipeline) =>
        PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = Evaluator });
}
