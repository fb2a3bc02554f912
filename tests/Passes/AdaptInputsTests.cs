using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Serialization;
using Halo.Tests.Numerics;
using static Halo.Tests.Runner.HaloConsole;

namespace Halo.Tests.Passes;

/// <summary>Exports whose inputs other exporters write otherwise: position_ids, as Optimum's, and int32 tokens.</summary>
public class AdaptInputsTests
{
    private const string Model = "llama2-mha";

    [Theory]
    [InlineData("position_ids", ElementType.Int64)]
    [InlineData("position_ids", ElementType.Int32)]
    [InlineData("cache_position", ElementType.Int64)]
    public void An_export_with_places_as_an_input_trains_as_one_without(string positions, ElementType tokens)
    {
        using var folder = new TemporaryFolder();
        var model = OnnxReader.Read(ExportFixture.File(Model, "logits-torchscript-opset17.onnx"), HaloOperators.Catalogue);
        var graph = model.Graph;
        var isVector = positions == "cache_position";
        var input = graph.AddInput(new Value(positions, tokens, new Shape(isVector ? [Dim.Named("s")] : [Dim.Named("b"), Dim.Named("s")])));
        var made = graph.Values["/m/model/Unsqueeze_output_0"];
        var build = GraphBuilder.Before(graph.Nodes.First(), positions);
        var wide = tokens == ElementType.Int64 ? input : build.Op("wide", "Cast", [input], Attribute.Of("to", (long)ElementType.Int64));
        if (isVector)
            wide = build.Op("rows", "Unsqueeze", [wide, build.Constant("axis", Tensor.Int64s(0))]);
        made.ReplaceUsesWith(wide);
        if (tokens == ElementType.Int32)
        {
            foreach (var name in new[] { "input_ids", "attention_mask" })
            {
                var narrow = graph.Values[name];
                narrow.Type = ElementType.Int32;
                var cast = build.Op(name, "Cast", [narrow], Attribute.Of("to", (long)ElementType.Int64));
                narrow.ReplaceUsesWith(cast, cast.Producer!);
            }
        }
        OnnxWriter.Write(model, folder["forward.onnx"]);
        Succeed("gradient", folder["forward.onnx"], "-o", folder["g.onnx"], "--weights", ExportFixture.Folder(Model), "--batch", "3", "--sequence", "24",
            "--verify");
        Assert.Contains(OnnxReader.Read(folder["g.onnx"], HaloOperators.Catalogue).Graph.Nodes, n => n.Is("RotaryEmbedding", HaloDomain.Name));
        AssertGradients(folder, folder["g.onnx"]);
    }

    /// <summary>A joint graph of int32 tokens runs as one of int64.</summary>
    [Fact]
    public void A_joint_graph_of_int32_tokens_is_taken()
    {
        using var folder = new TemporaryFolder();
        var model = OnnxReader.Read(ExportFixture.File(Model, "training.onnx"), HaloOperators.Catalogue);
        foreach (var input in model.Graph.Inputs.Where(i => i.Type == ElementType.Int64).ToList())
        {
            input.Type = ElementType.Int32;
            var cast = GraphBuilder.Before(model.Graph.Nodes.First(), input.Name).Op("wide", "Cast", [input], Attribute.Of("to", (long)ElementType.Int64));
            input.ReplaceUsesWith(cast, cast.Producer!);
        }
        OnnxWriter.Write(model, folder["g.onnx"]);
        AssertGradients(folder, folder["g.onnx"]);
    }

    [Fact]
    public void Places_of_another_form_are_refused()
    {
        var model = OnnxReader.Read(ExportFixture.File(Model, "logits-torchscript-opset17.onnx"), HaloOperators.Catalogue);
        model.Graph.AddInput(new Value("position_ids", ElementType.Int64, Shape.Of(3, 2, 24)));
        Assert.Contains("input 'position_ids': expected int64 [batch, sequence] or [sequence]",
            Assert.Throws<PassException>(() => PassManager.Run(model, Pipelines.Parse("adapt-inputs"), new PassOptions())).Message, StringComparison.Ordinal);
    }

    private static void AssertGradients(TemporaryFolder folder, string graph)
    {
        Succeed("step", graph, "--params", ExportFixture.File(Model, "model.safetensors"), "--batch", ExportFixture.File(Model, "expected.safetensors"),
            "-o", folder["out.safetensors"]);
        using var found = SafetensorsFile.Open(folder["out.safetensors"]);
        using var expected = SafetensorsFile.Open(ExportFixture.File(Model, "expected.safetensors"));
        Assert.Equal(22, found.Tensors.Count);
        foreach (var name in found.Tensors.Keys)
            Assert.True(RelativeError.Of(found.ReadFloats(name), expected.ReadFloats(name)) <= Tolerances.OtherOperators, name);
    }
}
