using Halo.Analysis;
using Halo.CustomOps;
using Halo.Serialization;

namespace Halo.Tests.Analysis;

public class LinearGemmsTests
{
    private static readonly string[] Projections =
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];

    [Theory]
    [InlineData("llama2-mha", 2, "lm_head")]
    [InlineData("llama32-tied", 2, "model.embed_tokens")]
    [InlineData("llama3-gqa", 3, "lm_head")]
    public void Every_joint_graph_has_seven_layers_a_block_with_all_three_products(string name, int blocks, string head)
    {
        var (layers, skipped) = LinearGemms.In(OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue).Graph);
        var expected = Enumerable.Range(0, blocks).SelectMany(b => Projections.Select(p => $"model.layers.{b}.{p}")).Order();
        Assert.Equal(expected, layers.Where(l => !l.IsHead).Select(l => l.Name).Order());
        Assert.Equal(head, Assert.Single(layers, l => l.IsHead).Name);
        Assert.All(layers, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(layers, l => Assert.False(l.IsFrozen));
        // F and G read one X, E and G one E_Y, F and E one W.
        Assert.All(layers, l => Assert.Same(l.Gemms[0].A.Root, l.Gemms[2].B.Root));
        Assert.All(layers, l => Assert.Same(l.Gemms[1].A.Root, l.Gemms[2].A.Root));
        Assert.All(layers, l => Assert.Same(l.Weight, l.Gemms[1].B.Root));
        // What is left are attention's products: two forward and four backward a block.
        Assert.Equal(6 * blocks, skipped.Count);
        Assert.All(skipped, s => Assert.Equal("both operands are activations", s.Reason));
    }

    [Theory]
    [InlineData("llama2-mha", "training-bf16.onnx", 2)]
    [InlineData("llama3-gqa", "training-bf16.onnx", 3)]
    public void Casts_between_weight_and_product_do_not_hide_a_layer(string name, string file, int blocks)
    {
        var (layers, _) = LinearGemms.In(OnnxReader.Read(ExportFixture.File(name, file), HaloOperators.Catalogue).Graph);
        Assert.Equal(7 * blocks + 1, layers.Count);
        Assert.All(layers, l => Assert.Equal(3, l.Gemms.Count));
    }

    [Theory]
    [InlineData("llama2-mha", "logits-dynamo-opset18.onnx")]
    [InlineData("llama2-mha", "loss-dynamo-opset18.onnx")]
    [InlineData("llama32-tied", "logits-torchscript-opset17.onnx")]
    public void Forward_graphs_have_frozen_layers_with_F_alone(string name, string file)
    {
        var (layers, _) = LinearGemms.In(OnnxReader.Read(ExportFixture.File(name, file), HaloOperators.Catalogue).Graph);
        Assert.Equal(15, layers.Count);
        Assert.Single(layers, l => l.IsHead);
        Assert.All(layers, l => Assert.Equal(GemmRole.F, Assert.Single(l.Gemms).Role));
    }

    [Fact]
    public void A_weight_without_a_gradient_is_frozen_and_keeps_F_and_E()
    {
        var model = OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue);
        var gradient = model.Graph.Outputs.Single(o => o.Name == "grad.model.layers.1.mlp.up_proj.weight");
        model.Graph.RemoveOutput(gradient);
        var layer = LinearGemms.In(model.Graph).Layers.Single(l => l.Name == "model.layers.1.mlp.up_proj");
        Assert.True(layer.IsFrozen);
        Assert.Equal([GemmRole.F, GemmRole.E], layer.Gemms.Select(g => g.Role));
    }
}
