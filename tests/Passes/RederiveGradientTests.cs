using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Serialization;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes;

/// <summary>A joint graph whose gradient is built anew gives what it gave, with the operators of com.halo in both parts.</summary>
public class RederiveGradientTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    public static TheoryData<string> Names => ExportFixture.All;

    [Theory]
    [MemberData(nameof(Names))]
    public void Loss_and_gradients_are_those_of_the_exported_graph_and_of_PyTorch(string name)
    {
        var plain = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        var inputs = CanonicalizeTests.Inputs(name, plain);
        var model = Rederived(name, "none", "none", inputs);
        Assert.Equal(plain.Graph.Inputs.Select(i => i.ToString()), model.Graph.Inputs.Select(i => i.ToString()));
        Assert.Equal(plain.Graph.Outputs.Select(o => o.ToString()), model.Graph.Outputs.Select(o => o.ToString()));
        using var pytorch = Halo.Models.Weights.SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        var (found, native) = (Evaluator.Evaluate(model, inputs), new OnnxEvaluator(OperatorKernels.Native).Evaluate(model, inputs));
        foreach (var (i, (output, expected)) in plain.Graph.Outputs.Zip(Evaluator.Evaluate(plain, inputs)).Index())
        {
            Assert.True(RelativeError.Of(found[i], expected) <= Tolerances.OtherOperators, $"{output.Name}: {RelativeError.Of(found[i], expected):E2}");
            Assert.True(RelativeError.Of(native[i], expected) <= Tolerances.OtherOperators,
                $"{output.Name}, native: {RelativeError.Of(native[i], expected):E2}");
            var reference = pytorch.Tensors[output.Name];
            var error = RelativeError.Of(found[i], new Tensor(reference.DType, reference.Shape, new MemoryBytes(reference.Bytes().ToArray())));
            Assert.True(error <= Tolerances.OtherOperators, $"{output.Name} against PyTorch: {error:E2}");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Both_parts_are_canonical(string name)
    {
        var model = Rederived(name, "none", "none");
        var layers = name == "llama3-gqa" ? 3 : 2;
        foreach (var (op, count) in new[] { ("RmsNorm", (2 * layers) + 1), ("Attention", layers), ("SwiGlu", layers), ("CrossEntropy", 1) })
        {
            Assert.Equal(count, Count(model, op));
            Assert.Equal(count, Count(model, op + "Grad"));
        }
        Assert.Equal(4 * layers, Count(model, "RotaryEmbedding"));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType is "Softmax" or "Pow" or "Sigmoid" or "Where" or "Exp" or "ReduceSum" or "Mul");
        var found = LinearGemms.In(model.Graph);
        Assert.Empty(found.Skipped);
        Assert.All(found.Layers, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.Equal((7 * layers) + 1, found.Layers.Count);
    }

    /// <summary>The gradient of raw nodes, of canonical ones, and of those of another export of the same model.</summary>
    [Theory]
    [InlineData("llama2-mha", "loss-dynamo-opset18.onnx")]
    [InlineData("llama32-tied", "loss-dynamo-opset18.onnx")]
    [InlineData("llama3-gqa", "training.onnx")]
    public void Raw_canonical_and_rederived_gradients_agree(string name, string file)
    {
        var rederived = Rederived(name, "none", "none");
        var inputs = CanonicalizeTests.Inputs(name, rederived);
        var expected = rederived.Graph.Outputs.Select(o => o.Name).Zip(Evaluator.Evaluate(rederived, inputs)).ToDictionary();
        foreach (var canonical in new[] { "", "canonicalize," })
        {
            var model = CanonicalizeTests.Read(name, file, $"name-parameters,{CanonicalizeTests.Prepare},{canonical}build-gradient,remove-dead-code");
            Assert.Equal(canonical.Length > 0, model.Graph.Nodes.Any(n => n.Domain == HaloDomain.Name));
            foreach (var (output, found) in model.Graph.Outputs.Zip(Evaluator.Evaluate(model, inputs)).Where(p => p.First.Name != "logits"))
            {
                Assert.True(RelativeError.Of(found, expected[output.Name]) <= Tolerances.OtherOperators,
                    $"{canonical}{output.Name}: {RelativeError.Of(found, expected[output.Name]):E2}");
            }
        }
    }

    [Theory]
    [InlineData("llama2-mha", "halo-0")]
    [InlineData("llama32-tied", "halo-1")]
    [InlineData("llama3-gqa", "halo-2")]
    public void A_rewrite_of_it_quantizes_as_that_of_the_exported_graph(string name, string level)
    {
        var inputs = CanonicalizeTests.Inputs(name, OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue));
        var layers = name == "llama3-gqa" ? 3 : 2;
        var model = Rederived(name, level, "fp8");
        Assert.Equal((level == "halo-2" ? 25 : 18) * layers, Count(model, "Quantize"));
        Assert.Equal(21 * layers, Count(model, "ScaledMatMul"));
        var rotated = Rederived(name, level, "none");
        var exported = Rewritten(name, "none", "none", rederive: false);
        foreach (var (found, expected) in Evaluator.Evaluate(rotated, inputs).Zip(Evaluator.Evaluate(exported, inputs)))
            Assert.True(RelativeError.Of(found, expected) <= Tolerances.OtherOperators);
        var quantized = Rewritten(name, level, "fp8", rederive: false);
        Assert.InRange(RelativeError.Of(Evaluator.Evaluate(model, inputs)[0], Evaluator.Evaluate(quantized, inputs)[0]), 0, Tolerances.SameCodesOtherOperators);
    }

    [Fact]
    public void A_second_run_rewrites_nothing_and_an_identical_one_gives_identical_bytes()
    {
        var model = Rederived("llama32-tied", "halo-2", "fp8");
        Assert.Equal(OnnxWriter.ToBytes(model), OnnxWriter.ToBytes(Rederived("llama32-tied", "halo-2", "fp8")));
        var again = PassManager.Run(model, Pipelines.Rewrite(HaloScheme.Parse("halo-2"), GemmFormats.Parse("fp8"), rederive: true),
            new PassOptions { Evaluator = Evaluator });
        // Function bodies of com.halo hold equal constants, which deduplicate merges.
        Assert.All(again.Passes.Where(p => p.Pass is not Deduplicate), p => Assert.Equal(0, p.Rewrites));
    }

    [Fact]
    public void A_frozen_parameter_stays_frozen()
    {
        var model = OnnxReader.Read(ExportFixture.File("llama2-mha", "training.onnx"), HaloOperators.Catalogue);
        var frozen = model.Graph.Outputs.Where(o => o.Name.Contains(".mlp.") || o.Name.Contains("embed")).ToList();
        frozen.ForEach(model.Graph.RemoveOutput);
        var outputs = model.Graph.Outputs.Select(o => o.Name).ToList();
        PassManager.Run(model, Pipelines.Parse($"{Pipelines.Cleanup},{Pipelines.Rederive}"), new PassOptions { Evaluator = Evaluator });
        Assert.Equal(outputs, model.Graph.Outputs.Select(o => o.Name));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.Is("ScatterElements"));
        Assert.Equal(6, LinearGemms.In(model.Graph).Layers.Count(l => l.IsFrozen));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void The_evaluation_graph_of_a_rederived_graph_takes_several_batches(int copies)
    {
        var path = ExportFixture.File("llama32-tied", "training.onnx");
        var plain = OnnxReader.Read(path, HaloOperators.Catalogue);
        var inputs = CanonicalizeTests.Inputs("llama32-tied", plain);
        var expected = Evaluator.Evaluate(EvaluationGraph.Of(plain), inputs)[0];
        var passes = Pipelines.Rewrite(HaloScheme.Parse("halo-1"), GemmFormats.Parse("none"), rederive: true);
        var widened = EvaluationGraph.Widened(SourceGraph.AsItIs(path), copies, passes);
        Assert.Equal(5 * copies, Count(widened, "RmsNorm"));
        var wide = inputs.ToDictionary(p => p.Key, p => p.Value.Type == ElementType.Int64
            ? Tensor.Of<long>(ElementType.Int64, [3 * copies, 24], [.. Enumerable.Repeat(p.Value.ToArray<long>(), copies).SelectMany(v => v)]) : p.Value);
        Assert.All(Evaluator.Evaluate(widened, wide), loss => Assert.True(RelativeError.Of(loss, expected) <= Tolerances.OtherOperators));
    }

    [Fact]
    public void The_evaluation_graph_has_logits()
    {
        var model = Rederived("llama2-mha", "halo-2", "int8");
        EvaluationGraph.Of(model);
        Assert.Equal(["loss", "logits"], model.Graph.Outputs.Select(o => o.Name));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType.EndsWith("Grad", StringComparison.Ordinal));
    }

    [Fact]
    public void A_forward_graph_is_refused()
    {
        var e = Assert.Throws<PassException>(() => PassManager.Run(
            OnnxReader.Read(ExportFixture.File("llama2-mha", "loss-dynamo-opset18.onnx"), HaloOperators.Catalogue),
            Pipelines.Parse("upgrade-opset,rederive-gradient"), new PassOptions { Evaluator = Evaluator }));
        Assert.Contains("For a forward graph use canonicalize and build-gradient", e.Message);
    }

    private static Model Rederived(string name, string scheme, string format, IReadOnlyDictionary<string, Tensor>? verify = null) =>
        Rewritten(name, scheme, format, rederive: true, verify);

    private static Model Rewritten(string name, string scheme, string format, bool rederive, IReadOnlyDictionary<string, Tensor>? verify = null)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        ShapeInference.Run(model.Graph);
        PassManager.Run(model, Pipelines.Rewrite(HaloScheme.Parse(scheme), GemmFormats.Parse(format), rederive: rederive),
            new PassOptions { Evaluator = Evaluator, VerifyInputs = verify });
        return model;
    }

    private static int Count(Model model, string opType) => model.Graph.Nodes.Count(n => n.Is(opType, HaloDomain.Name));
}
