using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Passes.Training.Parameters;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Passes;

public class NameParametersTests
{
    /// <summary>Norm weights that are all ones are one initializer in the graph; the modules of the readers tell them apart.</summary>
    [Theory]
    [InlineData("loss-dynamo-opset18.onnx")]
    [InlineData("logits-dynamo-sdpa-opset23.onnx")]
    [InlineData("logits-torchscript-opset17.onnx")]
    public void Merged_norm_weights_are_split_by_module(string file)
    {
        var (model, checkpoint) = WithNormsOfOnes(file);
        var nodes = model.Graph.NodeCount;
        PassManager.Run(model, [new UpgradeOpset(), new NameParameters()], new PassOptions { Checkpoint = checkpoint });
        Assert.True(nodes < model.Graph.NodeCount);
        foreach (var (name, module) in checkpoint.Keys.Where(n => n.Contains("norm", StringComparison.Ordinal)).Select(n => (n, n[..^".weight".Length])))
        {
            var reader = model.Graph.Values[name].OnlyUser!;
            Assert.Contains(ModuleScopes.Of(reader), s => s == "m." + module);
        }
    }

    [Fact]
    public void Merged_norm_weights_without_a_checkpoint_are_refused()
    {
        var (model, _) = WithNormsOfOnes("loss-dynamo-opset18.onnx");
        Refused(model, null, "a weight of one module", "m.model.layers.1.input_layernorm");
    }

    [Fact]
    public void Equal_weights_without_scopes_or_names_are_ambiguous()
    {
        var (model, checkpoint) = WithNormsOfOnes("loss-dynamo-opset18.onnx");
        foreach (var node in model.Graph.Nodes)
            node.Metadata.Clear();
        Refused(model, checkpoint, "one of the equal tensors model.layers.0.input_layernorm.weight, ", "no module scope that tells which");
    }

    [Fact]
    public void Parameters_on_one_side_only_are_listed()
    {
        var checkpoint = ForwardExports.Checkpoint("llama2-mha");
        checkpoint["model.layers.2.mlp.up_proj.weight"] = Tensor.Floats([2, 2], [1, 2, 3, 4]);
        Refused(Read("logits-dynamo-opset18.onnx"), checkpoint, "1 tensors of the checkpoint that no initializer equals (model.layers.2.mlp.up_proj.weight)");

        checkpoint = ForwardExports.Checkpoint("llama2-mha");
        checkpoint.Remove("model.layers.1.mlp.up_proj.weight");
        checkpoint.Remove("model.norm.weight");
        Refused(Read("logits-torchscript-opset17.onnx"), checkpoint,
            "2 initializers that equal no tensor (m.model.norm.weight float[64], onnx::MatMul_538 float[64, 172])");

        checkpoint = ForwardExports.Checkpoint("llama2-mha");
        var changed = checkpoint["lm_head.weight"].ToArray<float>();
        changed[^1] = MathF.BitIncrement(changed[^1]);
        checkpoint["lm_head.weight"] = Tensor.Floats([256, 64], changed);
        Refused(Read("logits-dynamo-opset18.onnx"), checkpoint, "no initializer equals (lm_head.weight) and 1 initializers that equal no tensor (val_");
    }

    [Fact]
    public void Buffers_of_old_checkpoints_are_no_parameters()
    {
        var checkpoint = ForwardExports.Checkpoint("llama2-mha");
        checkpoint["model.layers.0.self_attn.rotary_emb.inv_freq"] = Tensor.Floats([8], new float[8]);
        var model = Read("logits-dynamo-opset18.onnx");
        Assert.Equal(21, PassManager.Run(model, [new NameParameters()], new PassOptions { Checkpoint = checkpoint }).Passes[0].Rewrites);
    }

    /// <summary>Zeros equal their transpose: how they are read says which layout they have.</summary>
    [Fact]
    public void A_matrix_that_equals_its_transpose_has_the_layout_that_its_reader_needs()
    {
        var model = GraphParser.Parse("""
            ir_version: 10, opset: {"": 21}
            graph g(input_ids: int64[2, 3], x: float[2, 4]) -> (y: float[2, 4]) {
              initializers { a: float[4, 4] = splat 0 }
              y: float[2, 4] = MatMul(x, a)  # proj
            }
            """, HaloOperators.Catalogue);
        var checkpoint = new Dictionary<string, Tensor> { ["x"] = Tensor.Floats([2, 4], new float[8]), ["w"] = Tensor.Floats([4, 4], new float[16]) };
        PassManager.Run(model, [new NameParameters()], new PassOptions { Checkpoint = checkpoint });
        Assert.Contains(model.Graph.Nodes, n => n.Is("Transpose") && n.Inputs[0]!.Name == "w");
    }

    [Fact]
    public void The_hash_of_a_transpose_is_that_of_the_transposed_matrix()
    {
        var random = new Random(5);
        var values = Enumerable.Range(0, 7 * 5).Select(_ => (float)random.NextDouble()).ToArray();
        var flipped = Enumerable.Range(0, 35).Select(i => values[i % 7 * 5 + i / 7]).ToArray();
        var (asIs, transposed) = MatrixHash.Of(Tensor.Floats([7, 5], values), ElementType.Float);
        var (other, back) = MatrixHash.Of(Tensor.Floats([5, 7], flipped), ElementType.Float);
        Assert.Equal((asIs, transposed!.Value), (back!.Value, other));
        Assert.NotEqual(asIs, other);
        (values[3], values[4]) = (values[4], values[3]);
        Assert.NotEqual(asIs, MatrixHash.Of(Tensor.Floats([7, 5], values), ElementType.Float).AsIs);
    }

    private static Model Read(string file) => OnnxReader.Read(ExportFixture.File("llama2-mha", file), HaloOperators.Catalogue);

    private static (Model Model, Dictionary<string, Tensor> Checkpoint) WithNormsOfOnes(string file)
    {
        var (model, checkpoint) = (Read(file), ForwardExports.Checkpoint("llama2-mha"));
        var ones = Tensor.Floats([64], [.. Enumerable.Repeat(1f, 64)]);
        foreach (var name in checkpoint.Keys.Where(n => n.Contains("norm", StringComparison.Ordinal)).ToList())
            checkpoint[name] = ones;
        var merged = model.Graph.AddInitializer("merged", ones);
        foreach (var norm in model.Graph.Initializers.Where(v => v.Name.EndsWith("norm.weight", StringComparison.Ordinal)).ToList())
        {
            norm.ReplaceUsesWith(merged);
            model.Graph.RemoveInitializer(norm);
        }
        return (model, checkpoint);
    }

    private static void Refused(Model model, Dictionary<string, Tensor>? checkpoint, params string[] parts)
    {
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, [new NameParameters()], new PassOptions { Checkpoint = checkpoint }));
        Assert.All(parts, p => Assert.Contains(p, e.Message, StringComparison.Ordinal));
    }
}
