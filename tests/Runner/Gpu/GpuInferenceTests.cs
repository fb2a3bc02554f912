using Halo.Ir;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Tests.Passes.Inference;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Inference graphs of every format on the emulated GPU: no node elsewhere, and the logits of the CPU.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class GpuInferenceTests(EmulatedGpu gpu)
{
    private const string Model = "llama32-tied"; // grouped heads, and a head that shares the embedding

    private static readonly OnnxEvaluator Cpu = new();

    [Theory]
    [InlineData(FloatPrecision.Fp32, null, false, Tolerances.OtherOperators)]
    [InlineData(FloatPrecision.Fp32, WeightFormat.Int4, true, Tolerances.OtherOperators)]
    [InlineData(FloatPrecision.Fp32, WeightFormat.Int8, false, Tolerances.OtherOperators)]
    [InlineData(FloatPrecision.Fp32, WeightFormat.Fp8, false, Tolerances.OtherOperators)]
    [InlineData(FloatPrecision.Fp32, WeightFormat.Fp16, false, Tolerances.OtherOperators)]
    [InlineData(FloatPrecision.Fp16, null, false, Tolerances.Float16Graph)] // activations are rounded at other places
    [InlineData(FloatPrecision.Fp16, WeightFormat.Int4, true, Tolerances.Float16Graph)]
    [InlineData(FloatPrecision.Fp16, WeightFormat.Int8, false, Tolerances.Float16Graph)]
    [InlineData(FloatPrecision.Fp16, WeightFormat.Fp8, false, Tolerances.Float16Graph)]
    public void A_prompt_and_the_tokens_behind_it(FloatPrecision precision, WeightFormat? format, bool rotate, double tolerance)
    {
        var model = Origins.Graph(Model, Origins.Built, 3, 24);
        ActivationFormat? activations = format is WeightFormat.Int4 or WeightFormat.Int8 ? ActivationFormat.Float : null; // the CPU's 8 bits are its own
        PassManager.Run(model, Pipelines.Export(32, precision, format, rotate, activations), Origins.Options(Model));
        var random = new Random(5);
        int[] lengths = [7, 4];
        var vocabulary = Origins.Config(Model).VocabularySize;
        var inputs = model.Graph.Inputs.Where(i => i.Type.IsFloat()).ToDictionary(i => i.Name,
            i => Tensor.Of<byte>(i.Type, [2, i.Shape![1].Size!.Value, 0, i.Shape[3].Size!.Value], []));
        for (var step = 0; step < 3; step++)
        {
            var (tokens, total) = step == 0 ? (lengths[0], lengths[0]) : (1, lengths[0] + step);
            inputs["input_ids"] = Tensor.Of<long>(ElementType.Int64, [2, tokens],
                [.. Enumerable.Range(0, 2 * tokens).Select(_ => (long)random.Next(vocabulary))]);
            inputs["attention_mask"] = Tensor.Of<long>(ElementType.Int64, [2, total],
                [.. Enumerable.Range(0, 2 * total).Select(i => i % total < lengths[i / total] + step ? 1L : 0L)]);
            var (found, expected) = (Outputs(model, gpu.Evaluate(model, inputs)), Outputs(model, Cpu.Evaluate(model, inputs)));
            for (var row = 0; row < 2; row++)
            {
                var (first, count) = (row * tokens * vocabulary, (step == 0 ? lengths[row] : 1) * vocabulary);
                var error = RelativeError.Of(found["logits"].ToArray<float>().AsSpan(first, count), expected["logits"].ToArray<float>().AsSpan(first, count));
                Assert.True(error <= tolerance, $"step {step}, row {row}: {error:E2}");
            }
            foreach (var name in inputs.Keys.Where(n => n.StartsWith("past_", StringComparison.Ordinal)).ToList())
                inputs[name] = found[name.Replace("past_key_values.", "present.", StringComparison.Ordinal)];
        }
    }

    private static Dictionary<string, Tensor> Outputs(Model model, IReadOnlyList<Tensor> values) =>
        model.Graph.Outputs.Zip(values).ToDictionary(p => p.First.Name, p => p.Second);
}
