using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Export;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Tests.Passes.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Passes;

public class QuantizeWeightsTests
{
    public static TheoryData<string> Models => HeldModels.All;

    public static TheoryData<WeightFormat, int, int, bool> Layers
    {
        get
        {
            var data = new TheoryData<WeightFormat, int, int, bool>();
            foreach (var format in Enum.GetValues<WeightFormat>())
            {
                data.Add(format, 64, 32, true);
                data.Add(format, 704, 128, false);
                data.Add(format, 40, 32, true); // a block that K does not fill, and an odd number of blocks
                data.Add(format, 80, 16, false);
            }
            return data;
        }
    }

    /// <summary>Stock ONNX Runtime computes in float32 what decoding the initializers and multiplying gives, however it optimises.</summary>
    [Theory]
    [MemberData(nameof(Layers))]
    public void A_layer_is_the_product_with_the_decoded_weight(WeightFormat format, int k, int block, bool hasBias)
    {
        const int Rows = 5, Columns = 24;
        var random = new Random(k);
        var (x, w, b) = (Values(random, Rows * k), Values(random, Columns * k), Values(random, Columns));
        var model = Linear(Rows, k, Columns, w, hasBias ? b : null);
        PassManager.Run(model, [new QuantizeWeights(format, block, format is WeightFormat.Int8 ? ActivationFormat.Float : null)], new PassOptions());
        var decoded = Decoded(model.Graph, "inner.weight", Columns, k, block, format is WeightFormat.Int4 ? 4 : 8);
        Assert.True(HeldModels.Decibels([.. decoded.Select(v => (float)v)], w) > format switch
        {
            WeightFormat.Int4 => 18,
            WeightFormat.Fp8 => 31,
            WeightFormat.Int8 => 38,
            _ => 70,
        });
        if (block == 32)
            Assert.All(decoded.Zip(RoundedWeights.Of(format, w, k)), pair => Assert.Equal(pair.First, pair.Second, 1e-6));
        var expected = new float[Rows * Columns];
        for (var i = 0; i < expected.Length; i++)
        {
            var sum = hasBias ? b[i % Columns] : 0.0;
            for (var at = 0; at < k; at++)
                sum += (double)x[i / Columns * k + at] * decoded[i % Columns * k + at];
            expected[i] = (float)sum;
        }
        foreach (var level in new[] { GraphOptimizationLevel.ORT_DISABLE_ALL, GraphOptimizationLevel.ORT_ENABLE_ALL })
        {
            var error = RelativeError.Of(Run(model, level, Tensor.Floats([1, Rows, k], x)), expected);
            Assert.True(error < Tolerances.FewSums, $"{level}: {error:E2}");
        }
    }

    /// <summary>Rounded activations are an error of their own, of half a step in 127 of each block.</summary>
    [Theory]
    [InlineData(WeightFormat.Int8, null)]
    [InlineData(WeightFormat.Int8, ActivationFormat.Int8)]
    [InlineData(WeightFormat.Int4, ActivationFormat.Int8)]
    public void Activations_of_8_bits_are_near(WeightFormat format, ActivationFormat? activations)
    {
        var random = new Random(9);
        var (x, w) = (Values(random, 7 * 704), Values(random, 24 * 704));
        float[] Of(ActivationFormat? with)
        {
            var model = Linear(7, 704, 24, w, null);
            PassManager.Run(model, [new QuantizeWeights(format, Activations: with)], new PassOptions());
            return Run(model, GraphOptimizationLevel.ORT_DISABLE_ALL, Tensor.Floats([1, 7, 704], x));
        }
        var error = RelativeError.Of(Of(activations), Of(ActivationFormat.Float));
        Assert.True(error is > 1e-5 and < 1e-2, $"{error:E2}");
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Real_models_keep_their_logits_as_far_as_the_format_goes(string name)
    {
        var expected = HeldModels.Logits(HeldModels.Read(name));
        foreach (var (format, floor) in new[] { ("fp16", 60), ("int8", 30), ("fp8", 20), ("int4", 10) })
        {
            foreach (var before in new[] { "", "fold-norms,rotate-weights,", "fold-norms,rotate-weights{online=true}," })
            {
                var model = HeldModels.Read(name);
                HeldModels.Run(model, $"{before}quantize-weights{{format={format}}}");
                var decibels = HeldModels.Decibels(HeldModels.Logits(model), expected);
                Assert.True(decibels > floor, $"{before}{format}: {decibels:f1} dB");
                Assert.DoesNotContain(model.Graph.Initializers, v => v.Type == ElementType.Float && v.Initializer!.Sizes.Count == 2
                    && !v.Name.Contains("scales", StringComparison.Ordinal) && !v.Name.StartsWith("rotary", StringComparison.Ordinal));
            }
        }
    }

    /// <summary>One reading for codes, scales and zero points, in the order of the file; another order reads again and gives the same.</summary>
    [Fact]
    public void A_weight_is_read_once_for_a_file()
    {
        var counted = new CountedBytes(Values(new Random(1), 64 * 64));
        var model = Linear(3, 64, 64, [], null, new Tensor(ElementType.Float, [64, 64], counted));
        PassManager.Run(model, [new QuantizeWeights(WeightFormat.Int4)], new PassOptions());
        var before = counted.Readings;
        var bytes = OnnxWriter.ToBytes(model);
        Assert.Equal(before + 1, counted.Readings);
        Assert.Equal(bytes, OnnxWriter.ToBytes(model));
        var zeros = model.Graph.Values["inner.weight.zero_points"].Initializer!.ToBytes();
        Assert.Equal(zeros, model.Graph.Values["inner.weight.zero_points"].Initializer!.ToBytes());
        Assert.Contains(zeros, z => z != 0x88);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void What_is_not_finite_is_an_error_that_names_the_weight(float value)
    {
        foreach (var format in new[] { WeightFormat.Int4, WeightFormat.Int8, WeightFormat.Fp8 })
        {
            var w = Values(new Random(1), 64 * 8);
            w[70] = value;
            var model = Linear(3, 64, 8, w, null);
            PassManager.Run(model, [new QuantizeWeights(format)], new PassOptions());
            var error = Assert.Throws<HaloException>(() => OnnxWriter.ToBytes(model));
            Assert.Contains("tensor 'inner.weight': expected finite values", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Blocks_of_FP8_need_the_version_that_has_them()
    {
        var model = Linear(3, 64, 8, Values(new Random(1), 64 * 8), null);
        model.Opsets[""] = 20;
        var error = Assert.Throws<PassException>(() => PassManager.Run(model, [new QuantizeWeights(WeightFormat.Fp8)], new PassOptions()));
        Assert.Contains("expected 21 or later, as DequantizeLinear has blocks from then on, found 20", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Parameters_that_are_inputs_are_refused()
    {
        var model = Linear(3, 64, 8, Values(new Random(1), 64 * 8), null);
        var weight = model.Graph.AddInput(new Value("w", ElementType.Float, Shape.Of(8, 64)));
        model.Graph.Nodes.First(n => n.Is("Gemm")).ReplaceInput(1, weight);
        var error = Assert.Throws<PassException>(() => PassManager.Run(model, [new QuantizeWeights(WeightFormat.Int4)], new PassOptions()));
        Assert.Contains("Run hold-parameters first.", error.Message, StringComparison.Ordinal);
    }

    /// <summary>x (1, rows, k) -> inner (rows, n) -> y, a head of which makes the first no head.</summary>
    private static Model Linear(int rows, int k, int n, float[] w, float[]? bias, Tensor? weight = null)
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var graph = model.Graph;
        var x = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(1, rows, k)));
        var flat = new Value("flat", ElementType.Float, Shape.Of(rows, k));
        graph.Append(new Node("Reshape", [x, graph.AddInitializer("sizes", Tensor.Int64s(rows, k))], [flat], name: "flat"));
        List<Value?> inputs = [flat, graph.AddInitializer("inner.weight", weight ?? Tensor.Floats([n, k], w))];
        if (bias is not null)
            inputs.Add(graph.AddInitializer("inner.bias", Tensor.Floats([n], bias)));
        var y = new Value("y", ElementType.Float, Shape.Of(rows, n));
        graph.Append(new Node("Gemm", inputs, [y], name: "inner").With(Halo.Ir.Attribute.Of("transB", 1L)));
        graph.AddOutput(y);
        var head = new Value("head", ElementType.Float, Shape.Of(rows, 1));
        graph.Append(new Node("Gemm",
            [y, graph.AddInitializer("head.weight", Tensor.Floats([1, n], new float[n]))], [head], name: "head").With(Halo.Ir.Attribute.Of("transB", 1L)));
        graph.AddOutput(head);
        return model;
    }

    /// <summary>What the initializers mean, element by element.</summary>
    private static double[] Decoded(Graph graph, string weight, int n, int k, int block, int bits)
    {
        if (graph.Initializers.FirstOrDefault(v => v.Type == ElementType.Float16 && v.Initializer!.Sizes[0] == n) is { } half)
            return Array.ConvertAll(half.Initializer!.ToArray<Half>(), v => (double)v);
        var (codes, scales) = (graph.Values[$"{weight}.codes"].Initializer!, graph.Values[$"{weight}.scales"].Initializer!.ToArray<float>());
        var bytes = codes.ToBytes();
        var blocks = (k + block - 1) / block;
        if (codes.Type == ElementType.Float8E4M3FN)
            return [.. bytes.Select((c, i) => PlainCodes.E4M3(c) * scales[(i / k * blocks) + (i % k / block)])];
        Assert.Equal([n, blocks, block * bits / 8], codes.Sizes);
        var zeros = bits == 4 ? graph.Values[$"{weight}.zero_points"].Initializer!.ToBytes() : null;
        var result = new double[n * k];
        for (var i = 0; i < result.Length; i++)
        {
            var (row, column) = (i / k, i % k);
            var at = row * blocks * block + column;
            var (code, zero) = (bits == 8 ? bytes[at] : bytes[at / 2] >> at % 2 * 4 & 15, 128);
            var number = column / block;
            if (zeros is not null)
                zero = zeros[row * ((blocks + 1) / 2) + number / 2] >> number % 2 * 4 & 15;
            result[i] = (double)scales[row * blocks + number] * (code - zero);
        }
        return result;
    }

    private static float[] Run(Model model, GraphOptimizationLevel level, Tensor x)
    {
        using var options = new SessionOptions { GraphOptimizationLevel = level };
        using var session = new InferenceSession(OnnxWriter.ToBytes(model), options);
        using var run = new RunOptions();
        using var input = OnnxEvaluator.ToOrtValue(x);
        using var outputs = session.Run(run, ["x"], [input], ["y"]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }

    private static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.4))];

    private sealed class CountedBytes(float[] values) : ITensorBytes
    {
        public int Readings { get; private set; }

        public long SizeBytes => 4 * values.Length;

        public void ReadChunks(ChunkReader chunk)
        {
            Readings++;
            chunk(System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()));
        }
    }
}
