using Halo.Ir;
using Halo.Passes.Canonical.Precision;
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

    private static Model Exported(FloatPrecision precision)
    {
        var model = Origins.Graph(Origin, Origins.Built, 3, 24);
        PassManager.Run(model, Pipelines.Export(32, precision, format: null, rotate: false), Origins.Options(Origin));
        return model;
    }

    private static int Count(Model model, string opType) => model.Graph.Nodes.Count(n => n.OpType == opType);

    private static float[] Floats(Tensor tensor) =>
        tensor.Type == ElementType.Float ? tensor.ToArray<float>() : Array.ConvertAll(tensor.ToArray<Half>(), v => (float)v);
}
