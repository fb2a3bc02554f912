using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes;

public class HaloRewriteTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    public static TheoryData<string, string> Exports
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (var name in ExportFixture.Names)
            {
                foreach (var level in new[] { "halo-0", "halo-1", "halo-2" })
                    data.Add(name, level);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Every_product_of_a_real_export_reads_codes_and_each_tensor_is_quantized_once(string name, string level)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        var blocks = name == "llama3-gqa" ? 3 : 2;
        Rewrite(model, level, "fp8");
        var (layers, _) = LinearGemms.In(model.Graph);
        var rewritten = layers.Where(l => !l.IsHead).ToList();
        Assert.Equal(7 * blocks, rewritten.Count);
        Assert.All(rewritten, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(rewritten.SelectMany(l => l.Gemms), g => Assert.Equal(("ScaledMatMul", "e4m3", "e4m3"), (g.Node.OpType, g.A.Format, g.B.Format)));
        Assert.All(rewritten.SelectMany(l => l.Gemms).SelectMany(g => new[] { g.Node.Inputs[0]!, g.Node.Inputs[2]! }),
            codes => Assert.Equal(ElementType.Float8E4M3FN, codes.Type));
        Assert.Equal((level == "halo-2" ? 25 : 18) * blocks, model.Graph.Nodes.Count(n => n.Is("Quantize", HaloDomain.Name)));
        Assert.Equal(21 * blocks, model.Graph.Nodes.Count(n => n.Is("ScaledMatMul", HaloDomain.Name)));
        Assert.Equal(1, layers.Single(l => l.IsHead).Gemms.Select(g => g.Node.OpType).Distinct().Count(op => op is "MatMul"));
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Rotations_alone_keep_the_loss_and_every_gradient(string name, string level)
    {
        var inputs = Inputs(name);
        var plain = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        var expected = Evaluator.Evaluate(plain, inputs);
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        Rewrite(model, level, "none");
        var found = Evaluator.Evaluate(model, inputs);
        foreach (var (output, index) in plain.Graph.Outputs.Select((o, i) => (o, i)))
            Assert.True(RelativeError.Of(found[index], expected[index]) <= Tolerances.OtherOperators,
                $"{output.Name}: {RelativeError.Of(found[index], expected[index]):E2}");
    }

    [Theory]
    [InlineData("halo-1", 72, 64, 96)]
    [InlineData("halo-2", 35, 96, 172)]
    [InlineData("halo-2", 37, 172, 64)]
    [InlineData("halo-1", 1, 448, 128)]
    [InlineData("halo-2", 129, 704, 256)]
    [InlineData("F=K;E=K;G=K", 45, 448, 704)]
    [InlineData("F=K+M+N;E=M;G=M+N+K", 51, 76, 38)]
    public void Rotations_cancel_at_every_size_and_odd_token_count(string scheme, long tokens, long inFeatures, long outFeatures)
    {
        foreach (var form in Enum.GetValues<RandomLinearLayer.Form>())
        {
            var count = form == RandomLinearLayer.Form.Batched ? 2 * tokens : tokens;
            var plain = RandomLinearLayer.Build(form, count, inFeatures, outFeatures);
            var inputs = RandomLinearLayer.Inputs(plain, seed: 5);
            var expected = Evaluator.Evaluate(plain, inputs);
            var model = RandomLinearLayer.Build(form, count, inFeatures, outFeatures);
            Rewrite(model, scheme, "none");
            Assert.True(model.Graph.Nodes.Any(n => n.Is("HadamardTransform", HaloDomain.Name)), $"{form}: nothing was rotated");
            foreach (var (output, e) in Evaluator.Evaluate(model, inputs).Zip(expected).Skip(1))
                Assert.True(RelativeError.Of(output, e) <= Tolerances.OtherOperators, $"{form}: {RelativeError.Of(output, e):E2}");
        }
    }

    [Theory]
    [InlineData(RandomLinearLayer.Form.MatMul)]
    [InlineData(RandomLinearLayer.Form.GemmWithBias)]
    [InlineData(RandomLinearLayer.Form.Batched)]
    [InlineData(RandomLinearLayer.Form.FlippedGradient)]
    public void Every_form_of_a_layer_is_found_and_quantized(RandomLinearLayer.Form form)
    {
        var plain = RandomLinearLayer.Build(form, 96, 48, 64);
        var inputs = RandomLinearLayer.Inputs(plain, seed: 3);
        var expected = Evaluator.Evaluate(plain, inputs);
        var model = RandomLinearLayer.Build(form, 96, 48, 64);
        Rewrite(model, "halo-2", "fp8");
        Assert.Equal(3, model.Graph.Nodes.Count(n => n.Is("ScaledMatMul", HaloDomain.Name)));
        Assert.Equal(4, model.Graph.Nodes.Count(n => n.Is("Quantize", HaloDomain.Name)));
        foreach (var (output, e) in Evaluator.Evaluate(model, inputs).Zip(expected).Skip(1))
            Assert.InRange(RelativeError.Of(output, e), 1e-4, Tolerances.Fp8Products);
    }

    [Fact]
    public void Projections_with_biases_are_found_rewritten_and_give_the_bias_its_gradient()
    {
        Model Biased(out IReadOnlyList<string> biases)
        {
            var model = OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue);
            biases = BiasedExport.Make(model);
            return model;
        }
        var plain = Biased(out var names);
        Assert.Equal(6, names.Count);
        Assert.Equal(18, plain.Graph.Nodes.Count(n => n.Is("Gemm")));
        var inputs = Inputs("llama2-mha");
        foreach (var (name, index) in names.Select((n, i) => (n, i)))
            inputs[name] = Tensor.Floats([64], [.. Enumerable.Range(0, 64).Select(i => 0.1f * MathF.Sin(i + index))]);
        var expected = Evaluator.Evaluate(plain, inputs);
        var rotated = Biased(out _);
        Rewrite(rotated, "halo-2", "none");
        foreach (var (output, e) in Evaluator.Evaluate(rotated, inputs).Zip(expected))
            Assert.True(RelativeError.Of(output, e) <= Tolerances.OtherOperators);
        var quantized = Biased(out _);
        Rewrite(quantized, "halo-2", "fp8");
        var layers = LinearGemms.In(quantized.Graph).Layers.Where(l => !l.IsHead).ToList();
        Assert.Equal(14, layers.Count);
        Assert.All(layers, l => Assert.Equal(3, l.Gemms.Count));
        Assert.All(layers.SelectMany(l => l.Gemms), g => Assert.True(g.IsQuantized));
        Assert.Equal(50, quantized.Graph.Nodes.Count(n => n.Is("Quantize", HaloDomain.Name)));
        Assert.InRange(RelativeError.Of(Evaluator.Evaluate(quantized, inputs)[0], expected[0]), 1e-7, Tolerances.LossOfCodes);
    }

    /// <summary>[HALO, section 4]: channel outliers want K and N, token outliers want M.</summary>
    [Fact]
    public void Each_level_reduces_the_error_it_is_made_for()
    {
        var errors = new Dictionary<string, double[]>();
        var plain = RandomLinearLayer.Build(RandomLinearLayer.Form.MatMul, 96, 48, 64);
        var inputs = RandomLinearLayer.Inputs(plain, seed: 11, channelOutlier: 60, tokenOutlier: 80);
        var expected = Evaluator.Evaluate(plain, inputs);
        foreach (var level in new[] { "halo-0", "halo-1", "halo-2" })
        {
            var model = RandomLinearLayer.Build(RandomLinearLayer.Form.MatMul, 96, 48, 64);
            Rewrite(model, level, "int8");
            errors[level] = [.. Evaluator.Evaluate(model, inputs).Zip(expected).Skip(1).Select(p => RelativeError.Of(p.First, p.Second))];
        }
        var (zero, one, two) = (errors["halo-0"], errors["halo-1"], errors["halo-2"]);
        const int F = 0, E = 1, G = 2;
        Assert.True(one[F] <= 0.4 * zero[F], $"F {one[F]} against {zero[F]}");
        Assert.True(two[E] <= 0.4 * one[E], $"E {two[E]} against {one[E]}");
        Assert.True(one[G] <= 0.85 * zero[G], $"G {one[G]} against {zero[G]}");
        // The same placement gives the same error: F and G of the levels 1 and 2, E of 0 and 1 up to W's own rotation.
        Assert.InRange(two[F] / one[F], 0.85, 1.15);
        Assert.InRange(two[G] / one[G], 0.85, 1.15);
        Assert.InRange(one[E] / zero[E], 0.85, 1.15);
    }

    [Fact]
    public void Layers_can_differ()
    {
        var model = OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue);
        PassManager.Run(model, Pipelines.Parse(
            "upgrade-opset,rotate-operands{scheme=halo-1 layers=\"*.down_proj: halo-2\"},"
            + "quantize-operands{format=fp8 layers=\"model.layers.0.*: none | *.up_proj: F=int8,int8\"}"), new PassOptions());
        var layers = LinearGemms.In(model.Graph).Layers.ToDictionary(l => l.Name);
        Assert.All(layers["model.layers.0.self_attn.q_proj"].Gemms, g => Assert.Null(g.A.Format));
        Assert.Equal(["int8", null, null], layers["model.layers.1.mlp.up_proj"].Gemms.Select(g => g.A.Format));
        Assert.All(layers["model.layers.1.mlp.down_proj"].Gemms, g => Assert.Equal("e4m3", g.A.Format));
        Assert.True(layers["model.layers.1.mlp.down_proj"].Of(GemmRole.E).Single().IsRotated(GemmAxis.M));
        Assert.False(layers["model.layers.1.mlp.gate_proj"].Of(GemmRole.E).Single().IsRotated(GemmAxis.M));
    }

    [Theory]
    [InlineData("*.nosuch: none", "rule '*.nosuch: none': expected a pattern that matches linear layers, found one that matches none. Layers are named such as 'model.layers.0.")]
    [InlineData("*.down_porj: none", "found one that matches none. Did you mean '*.down_proj'?")]
    [InlineData("model.layers.1.mlp.up_projj: none", "found one that matches none. Did you mean 'model.layers.1.mlp.up_proj'?")]
    [InlineData("*.mlp.*: none | *.up_proj: int8", "rule '*.up_proj: int8': expected layers that no rule before it takes, found all 2 taken by '*.mlp.*'.")]
    [InlineData("lm_head: int8", "found one of heads alone, which stay in full precision")]
    [InlineData("lm_head: none | *.up_proj: none | *.mlp.*: int8", null)]
    public void A_rule_without_effect_is_refused(string rules, string? message)
    {
        var model = OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue);
        var passes = Pipelines.Parse($"upgrade-opset,quantize-operands{{format=fp8 layers=\"{rules}\"}}");
        if (message is null)
            PassManager.Run(model, passes, new PassOptions());
        else
            Assert.Contains(message, Assert.Throws<PassException>(() => PassManager.Run(model, passes, new PassOptions())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("halo-2", "fp8")]
    [InlineData("halo-1", "none")]
    public void A_second_run_rewrites_nothing_and_an_identical_one_gives_identical_bytes(string scheme, string format)
    {
        byte[] Once(out Model model)
        {
            model = OnnxReader.Read(ExportFixture.File("llama32-tied", "training.onnx"), HaloOperators.Catalogue);
            Rewrite(model, scheme, format);
            return OnnxWriter.ToBytes(model);
        }
        var first = Once(out var model);
        Assert.Equal(first, Once(out _));
        Assert.All(Rewrite(model, scheme, format).Passes, p => Assert.Equal(0, p.Rewrites));
    }

    [Fact]
    public void Rotating_after_quantizing_and_quantizing_to_another_format_are_refused()
    {
        var model = RandomLinearLayer.Build(RandomLinearLayer.Form.MatMul, 32, 32, 32);
        Rewrite(model, "halo-0", "fp8");
        Assert.Contains("Rotate before quantizing", Assert.ThrowsAny<HaloException>(() => Rewrite(model, "halo-1", "fp8")).Message);
        Assert.Contains("Start from the graph as it was exported", Assert.ThrowsAny<HaloException>(() => Rewrite(model, "halo-0", "int8")).Message);
    }

    private static PassRun Rewrite(Model model, string scheme, string format) => PassManager.Run(model,
        [new UpgradeOpset(), new RotateOperands(HaloScheme.Parse(scheme)), new QuantizeOperands(GemmFormats.Parse(format)), new RemoveDeadCode()],
        new PassOptions());

    private static Dictionary<string, Tensor> Inputs(string name)
    {
        using var weights = Halo.Models.Weights.SafetensorsFile.Open(ExportFixture.File(name, "model.safetensors"));
        using var expected = Halo.Models.Weights.SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        return weights.Tensors.Values.Concat(expected.Tensors.Values.Where(t => t.Name is "input_ids" or "attention_mask" or "labels"))
            .ToDictionary(t => t.Name, t => new Tensor(t.DType, t.Shape, new MemoryBytes(t.Bytes().ToArray())));
    }
}
