using Halo.Ir;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export.Weights;
using Halo.Passes.Fusion;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Tests.Passes.Inference;

namespace Halo.Tests.Passes;

/// <summary>An inference graph whose sums, norms and gated units are fused gives the logits and caches that it gave.</summary>
public sealed class FuseInferenceTests
{
    private const string Origin = "llama32-tied"; // two layers
    private const int Layers = 2, Rows = 2, Tokens = 5;

    private static readonly OnnxEvaluator Cpu = new();

    [Theory]
    [InlineData(FloatPrecision.Fp32, Tolerances.OtherOperators)]
    [InlineData(FloatPrecision.Fp16, Tolerances.Float16Graph)]
    public void Logits_and_caches_stay(FloatPrecision precision, double tolerance)
    {
        var (plain, fused) = (Exported(precision), Exported(precision));
        Assert.Equal(3 * Layers, PassManager.Run(fused, [new FuseInference()], new PassOptions()).Passes.Single().Rewrites);
        Assert.Equal((2 * Layers, Layers, 1), (Count(fused, "SkipSimplifiedLayerNormalization"), Count(fused, "SwiGlu"), Count(fused, "SimplifiedLayerNormalization")));
        Assert.Equal(0, Count(fused, "Add"));

        RequireSame(plain, fused, tolerance);
    }

    /// <summary>Query, key and value are one product, which attention takes apart itself; gate and up are one with their unit.</summary>
    [Theory]
    [InlineData(WeightFormat.Int4, FloatPrecision.Fp32, Tolerances.OtherOperators)]
    [InlineData(WeightFormat.Int4, FloatPrecision.Fp16, Tolerances.Float16Graph)]
    public void Products_with_packed_weights_are_joined(WeightFormat format, FloatPrecision precision, double tolerance)
    {
        var (plain, fused) = (Exported(precision, format), Exported(precision, format));
        Assert.Equal((7 * Layers) + 1, Count(plain, "MatMulNBits"));
        Assert.Equal(5 * Layers, PassManager.Run(fused, [new FuseInference()], new PassOptions()).Passes.Single().Rewrites);
        Assert.Equal((2 * Layers, (2 * Layers) + 1, 0), (Count(fused, "PackedProducts"), Count(fused, "MatMulNBits"), Count(fused, "SwiGlu")));
        Assert.All(fused.Graph.Nodes.Where(n => n.OpType == "GroupQueryAttention"), n => Assert.Equal((null, null), (n.Input(1), n.Input(2))));
        Assert.Equal(0, PassManager.Run(fused, [new FuseInference()], new PassOptions()).Passes.Single().Rewrites);
        RequireSame(plain, fused, tolerance);
    }

    private static void RequireSame(Model plain, Model fused, double tolerance)
    {
        var random = new Random(11);
        var inputs = plain.Graph.Inputs.Where(i => i.Type.IsFloat()).ToDictionary(i => i.Name,
            i => Tensor.Of<byte>(i.Type, [Rows, i.Shape![1].Size!.Value, 0, i.Shape[3].Size!.Value], []));
        inputs["input_ids"] = Tensor.Of<long>(ElementType.Int64, [Rows, Tokens],
            [.. Enumerable.Range(0, Rows * Tokens).Select(_ => (long)random.Next(Origins.Config(Origin).VocabularySize))]);
        inputs["attention_mask"] = Tensor.Of<long>(ElementType.Int64, [Rows, Tokens], [.. Enumerable.Repeat(1L, Rows * Tokens)]);
        foreach (var (value, expected, found) in plain.Graph.Outputs.Zip(Cpu.Evaluate(plain, inputs), Cpu.Evaluate(fused, inputs)))
        {
            var error = RelativeError.Of(Floats(found), Floats(expected));
            Assert.True(error <= tolerance, $"{value.Name}: {error:E2}");
        }
    }

    private static Model Exported(FloatPrecision precision, WeightFormat? format = null)
    {
        var model = Origins.Graph(Origin, Origins.Built, 3, 24);
        PassManager.Run(model, Pipelines.Export(32, precision, format, rotate: false), Origins.Options(Origin));
        return model;
    }

    private static int Count(Model model, string opType) => model.Graph.Nodes.Count(n => n.OpType == opType);

    private static float[] Floats(Tensor tensor) =>
        tensor.Type == ElementType.Float ? tensor.ToArray<float>() : Array.ConvertAll(tensor.ToArray<Half>(), v => (float)v);
}
