using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Text;

namespace Halo.Tests.Passes.Gradients;

/// <summary>Gradients of graphs that round: straight through QuantizeLinear and DequantizeLinear, an error elsewhere, zero in silence nowhere.</summary>
public class StraightThroughTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    /// <summary>Of x (6, 4), some of it clipped, against the formulas of PyTorch's fake quantization and of LSQ, written out.</summary>
    [Theory]
    [InlineData(ElementType.Int8, 0, -128, 127, 1, 0)]
    [InlineData(ElementType.UInt8, 121, 0, 255, 1, 0)]
    [InlineData(ElementType.Int16, -7, -32768, 32767, 1, 0, 1)]
    [InlineData(ElementType.UInt16, 30000, 0, 65535, 1, 0)]
    [InlineData(ElementType.Int4, 2, -8, 7, 1, 0)]
    [InlineData(ElementType.UInt4, 7, 0, 15, 0, 0, 6)]
    [InlineData(ElementType.Int8, 3, -128, 127, -1, 0, 4)]
    [InlineData(ElementType.Int8, 0, -128, 127, 0, 2, 3, 4)]
    [InlineData(ElementType.Float8E4M3FN, 0, -448, 448, 0, 0, 6)]
    [InlineData(ElementType.Float8E5M2, 0, -57344, 57344, 1, 0)]
    public void The_gradient_is_that_of_fake_quantization(ElementType type, int zeroPoint, double low, double high, long axis, long block, params int[] scales)
    {
        var random = new Random(20261128);
        long[] sizes = Array.ConvertAll(scales, s => (long)s);
        float[] Draw(long count, Func<double> next) => [.. Enumerable.Range(0, (int)count).Select(_ => (float)next())];
        var (x, weights) = (Draw(24, random.NextNormal), Draw(24, random.NextNormal));
        var s = Draw(sizes.Aggregate(1L, (a, b) => a * b), () => (0.5 + random.NextDouble()) * 2.1 / (high - low));
        Model Make()
        {
            var (model, build) = Empty();
            var (input, scale) = (model.Graph.AddInput(new Value("x", ElementType.Float, Shape.Of(6, 4))),
                model.Graph.AddInput(new Value("s", ElementType.Float, Shape.Of(sizes))));
            var zero = build.Constant("zero", new Tensor(type, sizes, new MemoryBytes(Codes(type, zeroPoint, s.Length))));
            Attribute[] attributes = block == 0 ? [Attribute.Of("axis", axis)] : [Attribute.Of("axis", axis), Attribute.Of("block_size", block)];
            var q = build.Op("q", "QuantizeLinear", [input, scale, zero], attributes);
            var y = build.Op("y", "DequantizeLinear", [q, scale, zero], attributes);
            Loss(model, build, build.Op("v", "Mul", [y, build.Constant("w", Tensor.Floats([6, 4], weights))]));
            return model;
        }
        var inputs = new Dictionary<string, Tensor> { ["x"] = Tensor.Floats([6, 4], x), ["s"] = Tensor.Floats(sizes, s) };
        var plain = Make();
        plain.Graph.AddOutput(plain.Graph.Values["y"]);
        var y = Evaluator.Evaluate(plain, inputs)[1].ToArray<float>();
        var (dx, ds, clipped) = (new double[24], new double[s.Length], 0);
        for (var i = 0; i < 24; i++)
        {
            var at = scales.Length == 0 || s.Length == 1 ? 0 : block > 0 ? (i / 4 / 2 * 4) + (i % 4) : axis == 0 ? i / 4 : i % 4;
            var ratio = x[i] / s[at];
            var code = type.IsFloat8() ? ratio : Math.Round(ratio, MidpointRounding.ToEven) + zeroPoint;
            var inside = code >= low && code <= high;
            clipped += inside ? 0 : 1;
            dx[i] = inside ? weights[i] : 0;
            ds[at] += weights[i] * ((y[i] / s[at]) - (inside ? ratio : 0));
        }
        Assert.InRange(clipped, 1, 20);
        var found = Evaluator.Evaluate(Differentiated(Make()), inputs);
        Assert.Equal(dx, found[1].ToArray<float>().Select(v => (double)v));
        Assert.All(found[2].ToArray<float>().Zip(ds), p => Assert.Equal(p.Second, p.First, Tolerances.ScaleGradient * Math.Max(1, high)));
    }

    /// <summary>Weights by row, activations by tensor, clipped between as of Brevitas: central differences with what rounding adds held fixed.</summary>
    [Fact]
    public void A_network_trained_with_quantization_has_the_slope_of_its_rounding_held_fixed()
    {
        var random = new Random(3);
        var inputs = new Dictionary<string, Tensor>
        {
            ["a.weight"] = Normal(random, 8, 5),
            ["b.weight"] = Normal(random, 3, 8),
        };
        var model = Network(new Random(4));
        var pairs = model.Graph.Nodes.Where(n => n.Is("DequantizeLinear")).ToList();
        var forward = Network(new Random(4));
        var observed = pairs.SelectMany(p => new[] { FloatOf(p).Name, p.Output.Name }).ToList();
        observed.ForEach(name => forward.Graph.AddOutput(forward.Graph.Values[name]));
        var seen = observed.Zip(Evaluator.Evaluate(forward, inputs).Skip(1)).ToDictionary();

        var gradient = Evaluator.Evaluate(Differentiated(model), inputs).Skip(1).Select(GradientRuleTests.Doubles).ToArray();
        var held = Network(new Random(4));
        foreach (var pair in held.Graph.Nodes.Where(n => n.Is("DequantizeLinear")).ToList())
        {
            // Inside the range y = x + (y0 - x0), beyond it y = y0.
            var (x0, y0) = (seen[FloatOf(pair).Name], seen[pair.Output.Name]);
            var build = GraphBuilder.After(pair);
            var step = pair.Inputs[1]!.Initializer!.ToArray<float>().Max();
            var off = x0.ToArray<float>().Zip(y0.ToArray<float>(), (x, y) => y - x).ToArray();
            byte[] isInside = Array.ConvertAll(off, o => (byte)(Math.Abs(o) <= 0.51f * step ? 1 : 0));
            var inside = build.Constant("inside", Tensor.Of<byte>(ElementType.Bool, [.. x0.Sizes], isInside));
            var moved = build.Op("moved", "Add", [FloatOf(pair), build.Constant("off", Tensor.Floats([.. x0.Sizes], off))]);
            var y = build.Op("held", "Where", [inside, moved, build.Constant("fixed", y0)]);
            foreach (var use in pair.Output.Uses.Where(u => u.Node != y.Producer).ToList())
                use.Node.ReplaceInput(use.Index, y);
        }
        var function = new ScalarFunction([.. inputs.Values.Select(GradientRuleTests.Doubles)], x => GradientRuleTests.Doubles(Evaluator.Evaluate(held,
            inputs.Zip(x, (p, v) => (p.Key, Tensor.Floats([.. p.Value.Sizes], Array.ConvertAll(v, e => (float)e)))).ToDictionary())[0])[0]);
        Assert.All(gradient, g => Assert.True(g.Count(v => v != 0) > g.Length / 2));
        GradientCheck.Along(random, function, gradient, (_, _) => Tolerances.OtherOperators, 3e-3, 1.0 / (1 << 20));
    }

    /// <summary>An export whose linear layers read 16-bit codes has the gradients of the plain one, but for that rounding.</summary>
    [Fact]
    public void An_export_with_codes_in_front_of_its_layers_trains_all_parameters()
    {
        const string name = "llama2-mha", file = "loss-dynamo-opset18.onnx", read = $"name-parameters,{CanonicalizeTests.Prepare}";
        var plain = CanonicalizeTests.Read(name, file, read);
        var inputs = CanonicalizeTests.Inputs(name, plain);
        static IEnumerable<Node> Layers(Model model) => model.Graph.Nodes.Where(n => n.Is("MatMul") && n.Inputs[1]!.Shape!.Rank == 2).ToList();
        var operands = Layers(plain).Select(n => n.Inputs[0]!).Distinct().ToList();
        foreach (var operand in operands.Where(o => !o.IsGraphOutput))
            plain.Graph.AddOutput(operand);
        var ranges = plain.Graph.Outputs.Zip(Evaluator.Evaluate(plain, inputs))
            .ToDictionary(p => p.First.Name, p => p.Second.Type == ElementType.Float ? p.Second.ToArray<float>().Max(Math.Abs) : 0);
        Dictionary<string, Tensor> Gradients(bool quantized)
        {
            var model = CanonicalizeTests.Read(name, file, read);
            foreach (var layer in quantized ? Layers(model) : [])
            {
                var build = GraphBuilder.Before(layer);
                var scale = build.Constant("scale", Tensor.Scalar(ranges[layer.Inputs[0]!.Name] / 32000));
                var zero = build.Constant("zero", Tensor.Of<short>(ElementType.Int16, [], [0]));
                layer.ReplaceInput(0, build.Op("dq", "DequantizeLinear", [build.Op("q", "QuantizeLinear", [layer.Inputs[0], scale, zero]), scale, zero]));
            }
            PassManager.Run(model, Pipelines.Parse("canonicalize,build-gradient,remove-dead-code"), new PassOptions { Evaluator = Evaluator });
            return model.Graph.Outputs.Select(o => o.Name).Zip(Evaluator.Evaluate(model, inputs)).ToDictionary();
        }
        var (expected, found) = (Gradients(false), Gradients(true));
        Assert.Equal(22, found.Count(f => f.Key != "logits"));
        foreach (var (output, tensor) in found)
            Assert.InRange(RelativeError.Of(tensor, expected[output]), 1e-9, Tolerances.Float16Graph);
    }

    /// <summary>x + (q(x) - x), of which the exporter lost the detach().</summary>
    [Theory]
    [InlineData("r: float[3] = Sub(q, w) y: float[3] = Add(w, r)")]
    [InlineData("r: float[3] = Sub(q, w) y: float[3] = Add(r, w)")]
    [InlineData("r: float[3] = Sub(w, q) y: float[3] = Sub(w, r)")]
    public void A_difference_that_was_detached_ends_the_gradient(string lines)
    {
        var model = Differentiated(Parse($$"""
            graph g(w: float[3]) -> (loss: float[]) {
              initializers { s: float[] = 4  c: float[3] = {1, -2, 3} }
              t: float[3] = Mul(w, s)
              n: float[3] = Round(t)
              q: float[3] = Div(n, s)
              {{lines}}
              v: float[3] = Mul(y, c)
              loss: float[] = ReduceSum<keepdims = 0>(v)
            }
            """));
        Assert.Equal([1f, -2, 3], Evaluator.Evaluate(model, new Dictionary<string, Tensor> { ["w"] = Tensor.Floats([3], [0.3f, 1, 2]) })[1].ToArray<float>());
    }

    /// <summary>Nodes by which a gradient would stop, alone or beside a path that goes on; steps beside one, whose slope is zero, are none.</summary>
    [Theory]
    [InlineData("i: int32[3] = Cast<to = 6>(w) # down\n y: float[3] = Cast<to = 1>(i)",
        "'down' (Cast, forward): expected an operator with a gradient rule, found Cast from float to int32. Round by")]
    [InlineData("i: int32[3] = Cast<to = 6>(w) # down\n f: float[3] = Cast<to = 1>(i) y: float[3] = Add(f, w)", "'down' (Cast, forward)")]
    [InlineData("y: float[3] = Round(w) # round", "'round' (Round, forward): expected an operator with a gradient rule, found Round. Round by QuantizeLinear")]
    [InlineData("q: uint8[3] = QuantizeLinear(w, s) # q\n y: float[3] = Cast<to = 1>(q) # back",
        "'back' (Cast, forward): expected an operator with a gradient rule, found Cast from uint8 to float")]
    [InlineData("q: uint8[3] = QuantizeLinear(w, s) y: float[3] = DequantizeLinear(q, t) # dq",
        "'dq' (DequantizeLinear, forward): expected the scale of 'q' (QuantizeLinear), 's', found 't'.")]
    [InlineData("i: int64[1] = ArgMax<axis = 0>(w) # best\n y: float[1] = Gather(c, i)",
        "'w': expected a path to the loss that a gradient goes through, found paths that end at 'best' (ArgMax) alone. Freeze")]
    [InlineData("y: float[3] = Sign(w) # sign", "found paths that end at 'sign' (Sign) alone.")]
    [InlineData("b: bool[3] = Greater(w, s) # more\n y: float[3] = Where(b, c, s)", "found paths that end at 'more' (Greater) alone.")]
    [InlineData("b: bool[3] = Greater(w, s) y: float[3] = Where(b, w, s)", null)]
    [InlineData("f: float[3] = Floor(w) y: float[3] = Sub(w, f)", null)]
    [InlineData("z: int64[1] = Shape(w) y: float[3] = Reshape(w, z)", null)]
    [InlineData("q: uint8[3], s2: float[], z: uint8[] = DynamicQuantizeLinear(w) y: float[3] = DequantizeLinear(q, s2, z)", null)]
    public void A_gradient_goes_through_or_the_node_is_named(string lines, string? message)
    {
        var model = Parse($$"""
            graph g(w: float[3]) -> (loss: float[]) {
              initializers { s: float[] = 0.5  t: float[] = 0.25  c: float[3] = {1, -2, 3} }
              {{lines}}
              v: float[3] = Mul(y, c)
              loss: float[] = ReduceSum<keepdims = 0>(v)
            }
            """);
        if (message is null)
        {
            var found = Evaluator.Evaluate(Differentiated(model), new Dictionary<string, Tensor> { ["w"] = Tensor.Floats([3], [0.7f, 1, 2]) })[1];
            Assert.Equal([1f, -2, 3], found.ToArray<float>());
        }
        else
            Assert.Contains(message, Assert.Throws<PassException>(() => Differentiated(model)).Message, StringComparison.Ordinal);
    }

    /// <summary>Zero is right behind a step, and is said where the loss is computed from the step's value: its author may have meant otherwise.</summary>
    [Theory]
    [InlineData("f: float[3] = Floor(w) # floor\n y: float[3] = Sub(w, f)", "floor")]
    [InlineData("f: float[3] = Sign(w) # sign\n y: float[3] = Add(w, f)", "sign")]
    [InlineData("b: bool[3] = Greater(w, s) # more\n f: float[3] = Cast<to = 1>(b) y: float[3] = Mul(w, f)", "more")]
    [InlineData("i: int64[1] = ArgMax<axis = 0>(w) # best\n f: float[1] = Cast<to = 1>(i) y: float[3] = Add(w, f)", "best")]
    [InlineData("b: bool[3] = Greater(w, s) n: bool[3] = Not(b) y: float[3] = Where(n, w, s)", null)]
    [InlineData("i: int64[1] = ArgMax<axis = 0>(w) g: float[1] = Gather(c, i) y: float[3] = Add(w, g)", null)]
    [InlineData("n: int64[] = Size(w) f: float[] = Cast<to = 1>(n) y: float[3] = Div(w, f)", null)]
    [InlineData("r: float[3] = Round(w) d: float[3] = Sub(r, w) y: float[3] = Add(w, d)", null)]
    public void A_step_whose_value_counts_is_listed(string lines, string? node)
    {
        var model = Parse($$"""
            graph g(w: float[3]) -> (loss: float[]) {
              initializers { s: float[] = 0.5  c: float[3] = {1, -2, 3} }
              {{lines}}
              v: float[3] = Mul(y, c)
              loss: float[] = ReduceSum<keepdims = 0>(v)
            }
            """);
        var skipped = PassManager.Run(model, [new BuildGradient()], new PassOptions()).Passes[0].Skipped;
        Assert.Equal(node is null ? [] : [BuildGradient.EndsThere], skipped.Select(s => s.Reason));
        if (node is not null)
            Assert.Contains($"'{node}'", Assert.Single(skipped).Node, StringComparison.Ordinal);
    }

    private static Value FloatOf(Node dequantize)
    {
        var value = dequantize.Inputs[0]!;
        while (value.Producer is { } node && !value.Type.IsFloat())
            value = node.Inputs[0]!;
        return value;
    }

    private static Model Network(Random random)
    {
        var (model, build) = Empty();
        var graph = model.Graph;
        var a = graph.AddInput(new Value("a.weight", ElementType.Float, Shape.Of(8, 5)));
        var b = graph.AddInput(new Value("b.weight", ElementType.Float, Shape.Of(3, 8)));
        Value ByRow(string name, Value weight)
        {
            var rows = weight.Shape!.Sizes[0];
            var scales = build.Constant($"{name}/scale", Tensor.Floats([rows], [.. Enumerable.Repeat(0.02f, (int)rows)]));
            var zeros = build.Constant($"{name}/zero", new Tensor(ElementType.Int8, [rows], new MemoryBytes(new byte[rows])));
            var codes = build.Op($"{name}/q", "QuantizeLinear", [weight, scales, zeros], Attribute.Of("axis", 0L));
            var back = build.Op($"{name}/dq", "DequantizeLinear", [codes, scales, zeros], Attribute.Of("axis", 0L));
            return build.Op($"{name}/t", "Transpose", [back], Attribute.Of("perm", [1L, 0L]));
        }
        Value ByTensor(string name, Value x)
        {
            var scale = build.Constant($"{name}/scale", Tensor.Scalar(0.05f));
            var zero = build.Constant($"{name}/zero", Tensor.Of<byte>(ElementType.UInt8, [], [40]));
            var codes = build.Op($"{name}/q", "QuantizeLinear", [x, scale, zero]);
            codes = build.Op($"{name}/clip", "Clip", [codes, build.Constant($"{name}/low", Tensor.Of<byte>(ElementType.UInt8, [], [0])),
                build.Constant($"{name}/high", Tensor.Of<byte>(ElementType.UInt8, [], [127]))]);
            codes = build.Op($"{name}/view", "Reshape", [codes, build.Constant($"{name}/sizes", Tensor.Int64s(7, -1))]);
            return build.Op($"{name}/dq", "DequantizeLinear", [codes, scale, zero]);
        }
        var x = build.Constant("x", Normal(random, 7, 5));
        var h = build.Op("h", "Tanh", [build.Op("a", "MatMul", [ByTensor("x", x), ByRow("a.w", a)])]);
        var wide = build.Op("wide", "Mul", [h, build.Constant("four", Tensor.Scalar(4f))]);
        var y = build.Op("b", "MatMul", [ByTensor("h", wide), ByRow("b.w", b)]);
        Loss(model, build, build.Op("y", "Mul", [y, build.Constant("factors", Normal(random, 7, 3))]));
        return model;
    }

    private static void Loss(Model model, GraphBuilder build, Value y) =>
        model.Graph.AddOutput(build.Op("loss", "ReduceSum", [y], Attribute.Of("keepdims", 0L)));

    private static Tensor Normal(Random random, params long[] sizes) =>
        Tensor.Floats(sizes, [.. Enumerable.Range(0, (int)(sizes[0] * sizes[1])).Select(_ => (float)random.NextNormal())]);

    private static (Model Model, GraphBuilder Build) Empty()
    {
        var model = new Model(new Graph("g"), HaloOperators.Catalogue) { IrVersion = 11, Opsets = { [""] = 23 } };
        return (model, GraphBuilder.AtEnd(model.Graph));
    }

    private static byte[] Codes(ElementType type, int code, int count)
    {
        var bytes = new byte[type.SizeBytes(count)];
        for (var i = 0; i < count && code != 0; i++)
        {
            if (type.Bits() == 4)
                bytes[i / 2] |= (byte)((code & 15) << (i % 2 * 4));
            else
                BitConverter.GetBytes(code).AsSpan(0, type.Bits() / 8).CopyTo(bytes.AsSpan(i * type.Bits() / 8));
        }
        return bytes;
    }

    private static Model Differentiated(Model model)
    {
        PassManager.Run(model, [new BuildGradient()], new PassOptions());
        return model;
    }

    private static Model Parse(string graph) => GraphParser.Parse("ir_version: 10, opset: {\"\": 23}\n" + graph, HaloOperators.Catalogue);
}
