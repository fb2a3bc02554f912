using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes;

/// <summary>In every export each norm, rotary embedding, attention, SwiGLU and loss is found, and outputs stay what they were.</summary>
public class CanonicalizeTests
{
    internal const string Prepare = "upgrade-opset,repair,specialize-shapes{batch=3 sequence=24},remove-dead-code,fold-splats,fold-constants,deduplicate";

    private static readonly OnnxEvaluator Evaluator = new();

    public static TheoryData<string, string> Float32 => Exports("logits-dynamo-opset18", "loss-dynamo-opset18", "logits-torchscript-opset17",
        "logits-dynamo-sdpa-opset23", "training");

    public static TheoryData<string, string> BFloat16 => Exports("logits-dynamo-bf16-opset18", "training-bf16");

    [Theory]
    [MemberData(nameof(Float32))]
    [MemberData(nameof(BFloat16))]
    public void Every_pattern_of_an_export_is_found(string name, string file)
    {
        var (model, run) = Canonical(name, file);
        var layers = name == "llama3-gqa" ? 3 : 2;
        Assert.Empty(run.Skipped);
        Assert.Equal((2 * layers) + 1, Count(model, nameof(RmsNorm)));
        Assert.Equal(2 * layers, Count(model, nameof(RotaryEmbedding)));
        Assert.Equal(layers, Count(model, nameof(Attention)));
        Assert.Equal(layers, Count(model, nameof(SwiGlu)));
        Assert.Equal(model.Graph.Outputs.Any(o => o.Name == TrainingNames.Loss) ? 1 : 0, Count(model, nameof(CrossEntropy)));
        Assert.Equal(run.Reported["canonical"].Count, (5 * layers) + 1 + layers + Count(model, nameof(CrossEntropy)));
        // Nothing is left of what they were made of, nor of masks and repeated keys.
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType is "Softmax" or "Pow" or "Expand" or "Sigmoid" or "Where" or "Cos" or "Mul" or "MatMul");
        Assert.All(model.Graph.Nodes.Where(n => n.Is(nameof(Attention), HaloDomain.Name)), n =>
        {
            Assert.Equal(1, n.Int("causal", 0));
            Assert.Equal("attention_mask", n.Inputs[3]!.Name);
            Assert.Equal(name == "llama2-mha" ? 4 : name == "llama32-tied" ? 3 : 2, n.Inputs[1]!.Shape![1].Size);
        });
        Assert.All(LinearGemms.In(model.Graph).Layers, l => Assert.Equal([GemmRole.F], l.Gemms.Select(g => g.Role)));
        Assert.Equal((7 * layers) + 1, LinearGemms.In(model.Graph).Layers.Count);
    }

    [Theory]
    [MemberData(nameof(Float32))]
    public void Outputs_stay_what_they_were(string name, string file)
    {
        var plain = Read(name, file);
        var inputs = Inputs(name, plain);
        var (model, _) = Canonical(name, file);
        foreach (var (output, (found, expected)) in model.Graph.Outputs.Zip(Evaluator.Evaluate(model, inputs).Zip(Evaluator.Evaluate(plain, inputs))))
            Assert.True(RelativeError.Of(found, expected) <= Tolerances.OneOperator, $"{output.Name}: {RelativeError.Of(found, expected):E2}");
        var (native, functions) = (new OnnxEvaluator(OperatorKernels.Native).Evaluate(model, inputs), Evaluator.Evaluate(model, inputs));
        Assert.All(native.Zip(functions), p => Assert.True(RelativeError.Of(p.First, p.Second) <= Tolerances.OneOperator));
    }

    [Theory]
    [InlineData("llama32-tied", "logits-dynamo-bf16-opset18", "fp32")]
    [InlineData("llama3-gqa", "training-bf16", "fp32")]
    [InlineData("llama32-tied", "loss-dynamo-opset18", "bf16")]
    [InlineData("llama2-mha", "logits-torchscript-opset17", "bf16")]
    [InlineData("llama2-mha", "logits-dynamo-sdpa-opset23", "fp16")]
    [InlineData("llama3-gqa", "training", "bf16")]
    public void Every_pattern_of_a_converted_graph_is_found(string name, string file, string type)
    {
        var model = Read(name, file + ".onnx", $"name-parameters,{Prepare.Replace("remove-dead-code", $"remove-dead-code,convert-precision{{to={type}}}")}");
        PassManager.Run(model, [new Canonicalize()], new PassOptions { Evaluator = Evaluator });
        var layers = name == "llama3-gqa" ? 3 : 2;
        Assert.Equal([(2 * layers) + 1, 2 * layers, layers, layers],
            new[] { nameof(RmsNorm), nameof(RotaryEmbedding), nameof(Attention), nameof(SwiGlu) }.Select(op => Count(model, op)));
        var float16 = type == "fp32" ? ElementType.Float : type == "bf16" ? ElementType.BFloat16 : ElementType.Float16;
        Assert.All(model.Graph.Nodes.Where(n => n.Domain == HaloDomain.Name), n => Assert.Equal(float16, n.Inputs[0]!.Type));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType is "Softmax" or "Pow" or "Expand" or "Where" or "Mul" or "MatMul" or "Concat");
        Assert.InRange(model.Graph.Nodes.Count(n => n.Is("Cast")), 0, 1);
    }

    /// <summary>A query in front of a row sees no key: exporters give it equal weights. What sees a key is the same.</summary>
    [Theory]
    [InlineData("logits-dynamo-opset18")]
    [InlineData("logits-torchscript-opset17")]
    [InlineData("logits-dynamo-sdpa-opset23")]
    public void Padding_in_front_changes_the_padding_alone(string file)
    {
        var plain = Read("llama32-tied", file + ".onnx");
        var inputs = Inputs("llama32-tied", plain);
        long[] kept = [.. Enumerable.Range(0, 72).Select(i => i % 24 >= i / 24 * 5 ? 1L : 0L)];
        inputs["attention_mask"] = Tensor.Of<long>(ElementType.Int64, [3, 24], kept);
        var (model, _) = Canonical("llama32-tied", file + ".onnx");
        var expected = Evaluator.Evaluate(plain, inputs)[0].ToArray<float>();
        var found = Evaluator.Evaluate(model, inputs)[0].ToArray<float>();
        var width = expected.Length / 72;
        float[] Attended(float[] all) => [.. all.Where((_, i) => kept[i / width] != 0)];
        Assert.True(RelativeError.Of(Attended(found), Attended(expected)) <= Tolerances.OneOperator);
        Assert.All(found, x => Assert.True(float.IsFinite(x)));
    }

    [Fact]
    public void A_second_run_rewrites_nothing()
    {
        var (model, _) = Canonical("llama32-tied", "logits-torchscript-opset17.onnx");
        Assert.Equal(0, PassManager.Run(model, [new Canonicalize()], new PassOptions { Evaluator = Evaluator }).Passes.Single().Rewrites);
    }

    /// <summary>The goldens without a match, and what the report says of each node that looks like one.</summary>
    [Theory]
    [InlineData("rms_norm_of_something_else", "along_tokens: the mean is not along the last axis", "inverse_is_an_output: what follows is not",
        "weight_for_each_token: the factor 't' [4, 8] is no weight", "no_root: what follows is not")]
    [InlineData("rotary_of_neighbours", "sine_is_an_input: the angles depend on 'sin'", "cosine_does_not_repeat: 'uneven' does not repeat its first half",
        "neighbours: the two parts are not cut from one value")]
    [InlineData("softmax_of_something_else", "of_an_input: it is of [3, 8], not of scores", "distances_added: its mask 'near' adds -1 to scores",
        "probabilities_are_an_output: what reads it is not one product",
        "every_second_key: its mask is neither causal, with a window or without, nor one of padding")]
    [InlineData("sigmoid_of_something_else", "of_another_value: the sigmoid is not multiplied", "gated_value_is_an_output: the gated value is not read by one",
        "up_is_broadcast: gate [2, 4] and up [4] have different shapes")]
    [InlineData("loss_of_another_kind", "a_sum: it is no mean", "weighted_classes: it is no mean, or has weights",
        "log_probabilities_are_an_output: what reads it is not")]
    public void What_looks_like_a_pattern_and_is_none_is_reported_with_the_reason(string golden, params string[] reasons)
    {
        var text = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Golden", "canonicalize", golden + "_no_match", "before.txt"));
        var run = PassManager.Run(
            Halo.Text.GraphParser.Parse(text, HaloOperators.Catalogue), [new Canonicalize()], new PassOptions { Evaluator = Evaluator }).Passes.Single();
        var found = run.Reported["canonical"].Select(r => $"{r!["node"]}: {r["reason"]}").Order(StringComparer.Ordinal).ToList();
        Assert.All(run.Reported["canonical"], r => Assert.False(r!["found"]!.GetValue<bool>()));
        Assert.Equal(reasons.Length, found.Count);
        Assert.All(found.Zip(reasons.Order(StringComparer.Ordinal)), p => Assert.StartsWith(p.Second, p.First, StringComparison.Ordinal));
    }

    [Fact]
    public void Without_a_runtime_masks_cannot_be_told()
    {
        var model = Read("llama2-mha", "logits-dynamo-opset18.onnx");
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, [new Canonicalize()], new PassOptions()));
        Assert.Contains("a runtime that computes what masks and tables hold", e.Message);
    }

    internal static Dictionary<string, Tensor> Inputs(string name, Model model)
    {
        using var weights = Halo.Models.Weights.SafetensorsFile.Open(ExportFixture.File(name, "model.safetensors"));
        using var expected = Halo.Models.Weights.SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        return weights.Tensors.Values.Concat(expected.Tensors.Values).Where(t => model.Graph.Inputs.Any(i => i.Name == t.Name))
            .ToDictionary(t => t.Name, t => new Tensor(t.DType, t.Shape, new MemoryBytes(t.Bytes().ToArray())));
    }

    private static TheoryData<string, string> Exports(params string[] files)
    {
        var data = new TheoryData<string, string>();
        foreach (var file in files)
        {
            foreach (var name in ExportFixture.Names.Where(n => n != "llama3-gqa" || file.StartsWith("training", StringComparison.Ordinal)))
                data.Add(name, file + ".onnx");
        }
        return data;
    }

    private static (Model Model, PassRecord Run) Canonical(string name, string file)
    {
        var model = Read(name, file);
        return (model, PassManager.Run(model, [new Canonicalize()], new PassOptions { Evaluator = Evaluator }).Passes.Single());
    }

    /// <summary>The forward part at 3 x 24 tokens.</summary>
    internal static Model Read(string name, string file, string passes = Prepare)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, file), HaloOperators.Catalogue);
        foreach (var gradient in model.Graph.Outputs.Where(o => TrainingNames.IsGradient(o)).ToList())
            model.Graph.RemoveOutput(gradient);
        using var weights = Halo.Models.Weights.SafetensorsFile.Open(ExportFixture.File(name, "model.safetensors"));
        var checkpoint = weights.Tensors.Values.ToDictionary(t => t.Name, t => new Tensor(t.DType, t.Shape, new MemoryBytes(t.Bytes().ToArray())));
        PassManager.Run(model, Pipelines.Parse(passes), new PassOptions { Evaluator = Evaluator, Checkpoint = checkpoint });
        return model;
    }

    private static int Count(Model model, string opType) => model.Graph.Nodes.Count(n => n.Is(opType, HaloDomain.Name));
}
