using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Tests.Passes.Gradients;
using Microsoft.ML.OnnxRuntime;

namespace Halo.Tests.Runner.Gpu;

/// <summary>Single operators on the emulated GPU against ONNX Runtime's CPU provider.</summary>
[Collection(nameof(EmulatedGpu))]
[Trait("Category", "Slow")]
public sealed class GpuOperatorTests(EmulatedGpu gpu)
{
    private static readonly Random Random = new(20261125);
    private static readonly OnnxEvaluator Cpu = new();

    /// <summary>Operators that have a gradient, that no graph of a LLaMA has, and the provider neither.</summary>
    private static readonly string[] WithoutKernel =
        ["Dropout", "Gelu", "LayerNormalization", "Mean", "ReduceLogSum", "Softplus", "com.microsoft.Gelu"];

    /// <summary>Each operator that can be differentiated, with what its gradient is made of.</summary>
    [Fact]
    public void Operators_with_a_gradient_and_their_gradients()
    {
        var (problems, without) = (new List<string>(), new HashSet<string>());
        foreach (var test in GradientRuleTests.AllCases.Values.Select(t => t.InFloat()))
        {
            var (model, point) = GradientRuleTests.Forward(test, new Random(1));
            var inputs = GradientRuleTests.Inputs([.. model.Graph.Inputs], point);
            PassManager.Run(model, [new BuildGradient()], new PassOptions());
            if (gpu.LeftOver(model) is { Count: > 0 } left)
            {
                Assert.All(left, node => Assert.EndsWith($"({test.OpType}): no kernel", node, StringComparison.Ordinal));
                without.Add(test.OpType);
                continue;
            }
            foreach (var (found, expected) in gpu.Evaluate(model, inputs).Zip(Cpu.Evaluate(model, inputs)))
            {
                float[] a = Floats(found), b = Floats(expected);
                if (!(RelativeError.Of(a, b) <= Tolerances.OtherOperators || a.Zip(b).All(p => Math.Abs(p.First - p.Second) <= Tolerances.OneOperator)))
                    problems.Add($"{test}: {RelativeError.Of(a, b):E2}");
            }
        }
        Assert.Empty(problems);
        Assert.Equal(WithoutKernel, without.Order(StringComparer.Ordinal));
    }

    /// <summary>C as large as Y is added where it lies and stays as it is; a row, a column and a number are spread first.</summary>
    [Theory]
    [InlineData(1f, 21, 24)]
    [InlineData(0.5f, 21, 24)]
    [InlineData(-2f, 1, 24)]
    [InlineData(1f, 21, 1)]
    [InlineData(2f, 1, 1)]
    public void A_product_with_an_addend(float beta, int rows, int columns)
    {
        Tensor?[] inputs = [Normal(ElementType.Float, 21, 16), Normal(ElementType.Float, 24, 16), Normal(ElementType.Float, rows, columns)];
        Attribute[] attributes = [Attribute.Of("alpha", 1.5f), Attribute.Of("beta", beta), Attribute.Of("transB", 1L)];
        var model = OneNode("Gemm", inputs, [[21, 24]], ElementType.Float, attributes);
        Assert.Empty(gpu.LeftOver(model));
        var (found, expected) = (gpu.Evaluate(model, Feeds(inputs)), Cpu.Evaluate(model, Feeds(inputs)));
        Assert.InRange(RelativeError.Of(Floats(found[0]), Floats(expected[0])), 0, Tolerances.OtherOperators);
    }

    /// <summary>A prompt of rows of different lengths, then a token a row behind each: outputs and cache where there are tokens.</summary>
    [Theory]
    [InlineData(ElementType.Float, false, 16, Tolerances.OtherOperators)]
    [InlineData(ElementType.Float, true, 32, Tolerances.OtherOperators)]
    [InlineData(ElementType.Float16, false, 16, Tolerances.Float16Operator)]
    public void Attention_over_a_cache(ElementType type, bool isInterleaved, int dim, double tolerance)
    {
        const int Rows = 2, Heads = 4, Groups = 2, Prompt = 5;
        int[] lengths = [5, 3];
        Attribute[] attributes =
        [
            Attribute.Of("num_heads", (long)Heads), Attribute.Of("kv_num_heads", (long)Groups), Attribute.Of("do_rotary", 1L),
            Attribute.Of("rotary_interleaved", isInterleaved ? 1L : 0L), Attribute.Of("scale", 0.3f),
        ];
        var (cos, sin) = (Normal(type, 16, dim / 2), Normal(type, 16, dim / 2));
        var past = (Keys: Normal(type, Rows, Groups, 0, dim), Values: Normal(type, Rows, Groups, 0, dim));
        for (var step = 0; step < 3; step++)
        {
            var (tokens, total) = step == 0 ? (Prompt, Prompt) : (1, Prompt + step);
            Tensor?[] inputs =
            [
                Normal(type, Rows, tokens, Heads * dim), Normal(type, Rows, tokens, Groups * dim), Normal(type, Rows, tokens, Groups * dim),
                past.Keys, past.Values,
                Tensor.Of<int>(ElementType.Int32, [Rows], [.. lengths.Select(l => l + step - 1)]), Tensor.Of<int>(ElementType.Int32, [], [total]), cos, sin,
            ];
            long[] cache = [Rows, Groups, total, dim];
            var model = OneNode("com.microsoft.GroupQueryAttention", inputs, [[Rows, tokens, Heads * dim], cache, cache], type, attributes);
            var (found, expected) = (gpu.Evaluate(model, Feeds(inputs)), Cpu.Evaluate(model, Feeds(inputs)));
            for (var row = 0; row < Rows; row++)
            {
                var width = Heads * dim;
                Near(found[0], expected[0], row * tokens * width, (step == 0 ? lengths[row] : 1) * width, tolerance);
                for (var head = row * Groups; head < (row + 1) * Groups; head++)
                {
                    foreach (var part in new[] { 1, 2 })
                        Near(found[part], expected[part], head * total * dim, (lengths[row] + step) * dim, tolerance);
                }
            }
            past = (expected[1], expected[2]);
        }
    }

    [Theory]
    [InlineData(4, 64, 32, false)]
    [InlineData(4, 80, 32, true)]
    [InlineData(8, 64, 16, false)]
    [InlineData(8, 96, 32, true)]
    public void Products_with_packed_weights(long bits, long k, long block, bool hasZeros)
    {
        const long N = 12;
        var blocks = (k + block - 1) / block;
        Tensor?[] inputs =
        [
            Normal(ElementType.Float, 2, 3, k), Bytes(ElementType.UInt8, N, blocks, block * bits / 8), Normal(ElementType.Float, N, blocks),
            hasZeros ? Bytes(ElementType.UInt8, N, ((blocks * bits) + 7) / 8) : null,
        ];
        var model = OneNode("com.microsoft.MatMulNBits", inputs, [[2, 3, N]], ElementType.Float,
            Attribute.Of("K", k), Attribute.Of("N", N), Attribute.Of("bits", bits), Attribute.Of("block_size", block));
        Near(gpu.Evaluate(model, Feeds(inputs))[0], Cpu.Evaluate(model, Feeds(inputs))[0], Tolerances.OtherOperators);
    }

    [Theory]
    [InlineData(ElementType.Int8, 0, 0)]
    [InlineData(ElementType.UInt8, 1, 0)]
    [InlineData(ElementType.Float8E4M3FN, 0, 0)]
    [InlineData(ElementType.Float8E5M2, 1, 0)]
    [InlineData(ElementType.Int8, 1, 4)]
    [InlineData(ElementType.Int8, null, 0)]
    public void Codes_become_numbers(ElementType type, int? axis, int block)
    {
        long[] sizes = [6, 8];
        long[] scales = block > 0 ? [6, 2] : axis is { } given ? [sizes[given]] : [];
        var codes = Bytes(type, sizes); // an initializer: float8 cannot cross the border to C#
        var model = new Model(new Graph("one"), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var scale = Normal(ElementType.Float, scales);
        Value[] read = [model.Graph.AddInitializer("x", codes), model.Graph.AddInput(new Value("scale", ElementType.Float, Shape.Of(scales)))];
        var node = new Node("DequantizeLinear", read, [new Value("y", ElementType.Float, Shape.Of(sizes))], "", "node");
        node.With(Attribute.Of("axis", (long)(axis ?? 1)), Attribute.Of("block_size", (long)block));
        model.Graph.Append(node);
        model.Graph.AddOutput(node.Output);
        Dictionary<string, Tensor> feeds = new() { ["scale"] = scale };
        Assert.Equal(Cpu.Evaluate(model, feeds)[0].ToBytes(), gpu.Evaluate(model, feeds)[0].ToBytes());
    }

    [Theory]
    [InlineData(ElementType.Float, Tolerances.OneOperator)]
    [InlineData(ElementType.Float16, Tolerances.Float16Norm)]
    public void A_norm_with_its_statistics(ElementType type, double tolerance)
    {
        Tensor?[] inputs = [Normal(type, 2, 3, 20), Normal(type, 20)];
        var model = OneNode("SimplifiedLayerNormalization", inputs, [[2, 3, 20]], type,
            Attribute.Of("axis", -1L), Attribute.Of("epsilon", 1e-5f), Attribute.Of("stash_type", 1L));
        Near(gpu.Evaluate(model, Feeds(inputs))[0], Cpu.Evaluate(model, Feeds(inputs))[0], tolerance);
    }

    [Theory]
    [InlineData(ElementType.Float, Tolerances.OneOperator)]
    [InlineData(ElementType.Float16, Tolerances.Float16Norm)]
    public void A_sum_and_its_norm(ElementType type, double tolerance)
    {
        Tensor?[] inputs = [Normal(type, 2, 3, 20), Normal(type, 2, 3, 20), Normal(type, 20)];
        var model = OneNode("com.microsoft.SkipSimplifiedLayerNormalization", inputs, [[2, 3, 20], [2, 3, 1], [2, 3, 1], [2, 3, 20]], type,
            Attribute.Of("epsilon", 1e-5f));
        foreach (var statistics in model.Graph.Outputs.Skip(1).Take(2).ToList())
        {
            statistics.Type = ElementType.Float;
            model.Graph.RemoveOutput(statistics);
        }
        var (found, expected) = (gpu.Evaluate(model, Feeds(inputs)), Cpu.Evaluate(model, Feeds(inputs)));
        Near(found[0], expected[0], tolerance);
        Assert.Equal(expected[1].ToBytes(), found[1].ToBytes());
    }

    [Theory]
    [InlineData(0L)]
    [InlineData(1L)]
    public void Places_of_largest_elements(long keepdims)
    {
        Tensor?[] inputs = [Normal(ElementType.Float, 2, 3, 5000)];
        var model = OneNode("ArgMax", inputs, [keepdims == 0 ? [2, 3] : [2, 3, 1]], ElementType.Int64, Attribute.Of("axis", 2L), Attribute.Of("keepdims", keepdims));
        Assert.Equal(Cpu.Evaluate(model, Feeds(inputs))[0].ToBytes(), gpu.Evaluate(model, Feeds(inputs))[0].ToBytes());
    }

    [Fact]
    public void Rows_of_float16_become_float32()
    {
        Tensor?[] inputs = [Normal(ElementType.Float16, 7, 12), Tensor.Of<long>(ElementType.Int64, [2, 2], [3, 0, 6, 3])];
        var model = OneNode("Gather", inputs, [[2, 2, 12]], ElementType.Float16);
        model.Graph.RemoveOutput(model.Graph.Outputs[0]);
        var rows = model.Graph.Nodes.Single().Output;
        model.Graph.AddOutput(OpCase.Cast(GraphBuilder.AtEnd(model.Graph), rows, ElementType.Float, "wide"));
        Assert.Equal(Cpu.Evaluate(model, Feeds(inputs))[0].ToBytes(), gpu.Evaluate(model, Feeds(inputs))[0].ToBytes());
    }

    /// <summary>A float32 for each of 60000 columns does not fit in the shared memory of a block.</summary>
    [Fact]
    public void A_limit_is_told_with_the_node_what_was_found_and_what_to_do()
    {
        var model = new Model(new Graph("one"), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var values = new[] { ("dy", Shape.Of(1, 60000)), ("x", Shape.Of(1, 60000)), ("weight", Shape.Of(60000)), ("invRms", Shape.Of(1)) }
            .Select(v => model.Graph.AddInput(new Value(v.Item1, ElementType.Float, v.Item2))).ToList();
        var (dx, _) = GraphBuilder.AtEnd(model.Graph).RmsNormGrad(values[0], values[1], values[2], values[3], "gradient");
        model.Graph.AddOutput(dx);
        var feeds = values.ToDictionary(v => v.Name, v => Normal(ElementType.Float, [.. v.Shape!.Select(d => d.Size!.Value)]));
        var error = Assert.Throws<OnnxRuntimeException>(() => gpu.Evaluate(model, feeds));
        Assert.Contains("'gradient' (RmsNormGrad): expected at most 58080 columns, a float32 each in the shared memory of a block, found 60000. ",
            error.Message, StringComparison.Ordinal);
        Assert.Contains("--device cpu", error.Message, StringComparison.Ordinal);
    }

    /// <summary>A model of one operator; inputs are x0, x1 ... where they are given.</summary>
    private static Model OneNode(string opType, Tensor?[] inputs, long[][] outputs, ElementType type, params Attribute[] attributes)
    {
        var model = new Model(new Graph("one"), HaloOperators.Catalogue) { Opsets = { [""] = 21, ["com.microsoft"] = 1 } };
        var values = inputs.Select((x, i) => x is null ? null : model.Graph.AddInput(new Value($"x{i}", x.Type, Shape.Of([.. x.Sizes])))).ToArray();
        var dot = opType.LastIndexOf('.');
        var node = new Node(opType[(dot + 1)..], values, [.. outputs.Select((sizes, i) => new Value($"y{i}", type, Shape.Of(sizes)))],
            dot < 0 ? "" : opType[..dot], "node");
        node.With(attributes);
        model.Graph.Append(node);
        foreach (var output in node.Outputs)
            model.Graph.AddOutput(output);
        return model;
    }

    private static Dictionary<string, Tensor> Feeds(Tensor?[] inputs) =>
        inputs.Select((x, i) => (Name: $"x{i}", Tensor: x)).Where(x => x.Tensor is not null).ToDictionary(x => x.Name, x => x.Tensor!);

    private static Tensor Normal(ElementType type, params long[] sizes)
    {
        var values = new float[sizes.Aggregate(1L, (a, b) => a * b)];
        for (var i = 0; i < values.Length; i++)
            values[i] = (float)(Random.NextNormal());
        return type == ElementType.Float ? Tensor.Floats(sizes, values) : Tensor.Of<Half>(type, sizes, Array.ConvertAll(values, v => (Half)v));
    }

    private static Tensor Bytes(ElementType type, params long[] sizes)
    {
        var bytes = new byte[sizes.Aggregate(1L, (a, b) => a * b)];
        Random.NextBytes(bytes);
        if (type.IsFloat8())
            bytes = Array.ConvertAll(bytes, b => (byte)(b & 0xBB)); // numbers below 2, no NaN
        return Tensor.Of<byte>(type, sizes, bytes);
    }

    private static float[] Floats(Tensor tensor) => tensor.Type == ElementType.Float16 ? Array.ConvertAll(tensor.ToArray<Half>(), v => (float)v)
        : Array.ConvertAll(GradientRuleTests.Doubles(tensor), v => (float)v);

    private static void Near(Tensor found, Tensor expected, double tolerance) => Near(found, expected, 0, (int)expected.ElementCount, tolerance);

    private static void Near(Tensor found, Tensor expected, int first, int count, double tolerance) =>
        Assert.InRange(RelativeError.Of(Floats(found).AsSpan(first, count), Floats(expected).AsSpan(first, count)), 0, tolerance);
}
