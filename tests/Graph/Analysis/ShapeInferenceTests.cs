using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;
using Halo.Text;

namespace Halo.Tests.Analysis;

public class ShapeInferenceTests
{
    private const string Initializers = """
        i0: int64[] = 0, i1: int64[] = 1, i2: int64[] = 2, i5: int64[] = 5, l0: int64[1] = {0}, l1: int64[1] = {1}, m1: int64[1] = {-1}, l2: int64[1] = {2},
        big: int64[1] = {9223372036854775807},
        l01: int64[2] = {0, 1}, l02: int64[2] = {0, 2}, m12: int64[2] = {-1, 2}, l312: int64[3] = {3, 1, 2}, none: int64[0] = {},
        z0m1: int64[3] = {0, 0, -1}, f: float[] = 1
        w: float[4, 5] = splat 1, table: float[10, 8] = splat 1, zp: int8[] = 0, e4: float8e4m3fn[] = 0x0, heads: int64[4] = {0, 0, 4, -1},
        flat: int64[2] = {-1, 8}, pads: int64[4] = {1, 0, 2, 0}
        """;

    [Theory]
    // elementwise, broadcasting
    [InlineData("Add(a, b)", "a: float[3, 1, 5], b: float[4, 1]", "float[3, 4, 5]")]
    [InlineData("Add(a, b)", "a: float[B, T], b: float[T]", "float[B, T]")]
    [InlineData("Add(a, b)", "a: float[B, 1], b: float[?, 7]", "float[?, 7]")]
    [InlineData("Add(a, b)", "a: float[B], b: float[7]", "float[7]")]
    [InlineData("Mul(a, b)", "a: float[0, 3], b: float[1, 3]", "float[0, 3]")]
    [InlineData("Mul(a, b)", "a: float[2], b: float", "float")]
    [InlineData("Where(a, b, c)", "a: bool[3, 1], b: bfloat16[4], c: bfloat16[]", "bfloat16[3, 4]")]
    [InlineData("LessOrEqual(a, b)", "a: int64[B, 1], b: int64[1, T]", "bool[B, T]")]
    [InlineData("Cast<to = 16>(a)", "a: float[2, T]", "bfloat16[2, T]")]
    [InlineData("CastLike(a, b)", "a: float[2], b: int64[]", "int64[2]")]
    [InlineData("Max(a, b, c)", "a: float[2, 1], b: float[3], c: float[]", "float[2, 3]")]
    [InlineData("Clip(a, _, f)", "a: float[2]", "float[2]")]
    [InlineData("Pow(a, b)", "a: float[2], b: int64[]", "float[2]")]
    [InlineData("Softmax<axis = -1>(a)", "a: float16[2, B]", "float16[2, B]")]
    // reductions
    [InlineData("ReduceSum(a, l1)", "a: float[2, 3, 4]", "float[2, 1, 4]")]
    [InlineData("ReduceSum<keepdims = 0>(a, m1)", "a: float[2, 3, B]", "float[2, 3]")]
    [InlineData("ReduceMean<axes = [-1], keepdims = 1>(a)", "a: float[2, 3]", "float[2, 1]")]
    [InlineData("ReduceMax<keepdims = 0>(a)", "a: float[2, B]", "float[]")]
    [InlineData("ReduceSum(a, none)", "a: float[2, 3]", "float[1, 1]")]
    [InlineData("ReduceSum<noop_with_empty_axes = 1>(a, none)", "a: float[2, 3]", "float[2, 3]")]
    [InlineData("ReduceSum<keepdims = 1>(a, b)", "a: float[2, 3], b: int64[1]", "float[?, ?]")]
    [InlineData("ArgMax<axis = 1, keepdims = 0>(a)", "a: float[2, 3]", "int64[2]")]
    [InlineData("SoftmaxCrossEntropyLoss<reduction = \"none\">(a, b)", "a: float[6, 10], b: int64[6]", "float[6]")]
    [InlineData("NegativeLogLikelihoodLoss(a, b)", "a: float[6, 10], b: int64[6]", "float[]")]
    // products
    [InlineData("MatMul(a, b)", "a: float[7, 1, 3, 4], b: float[2, 4, 5]", "float[7, 2, 3, 5]")]
    [InlineData("MatMul(a, w)", "a: float[B, T, 4]", "float[B, T, 5]")]
    [InlineData("MatMul(a, b)", "a: float[4], b: float[4]", "float[]")]
    [InlineData("MatMul(a, b)", "a: float[4], b: float[2, 4, 3]", "float[2, 3]")]
    [InlineData("MatMulInteger(a, b)", "a: uint8[2, 3], b: int8[3, 4]", "int32[2, 4]")]
    [InlineData("Gemm<transA = 1, transB = 1>(a, b)", "a: float[3, 2], b: float[4, 3]", "float[2, 4]")]
    [InlineData("com.microsoft.FusedMatMul<transB = 1>(a, b)", "a: float[B, 2, 3], b: float[B, 4, 3]", "float[B, 2, 4]")]
    [InlineData("com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 2>(a, b, b)", "a: float[B, T, 32], b: float[B, T, 16]", "float[B, T, 32]")]
    [InlineData("com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 2>(a)", "a: float16[B, T, 64]", "float16[B, T, 32]")]
    [InlineData("com.microsoft.MatMulNBits<K = 3, N = 7>(a, b)", "a: float[B, 2, 3], b: uint8[7, 1, 16]", "float[B, 2, 7]")]
    [InlineData("Einsum<equation = \"bij,bjk->bik\">(a, b)", "a: float[B, 2, 3], b: float[B, 3, 4]", "float[B, 2, 4]")]
    // movement
    [InlineData("Transpose<perm = [0, 2, 1]>(a)", "a: float[B, 2, 3]", "float[B, 3, 2]")]
    [InlineData("Transpose(a)", "a: float[B, 2, 3]", "float[3, 2, B]")]
    [InlineData("Reshape(a, z0m1)", "a: float[B, T, 4, 2]", "float[B, T, 8]")]
    [InlineData("Reshape(a, heads)", "a: float[B, T, 8]", "float[B, T, 4, 2]")]
    [InlineData("Reshape(a, flat)", "a: float[B, T, 8]", "float[\"B*T\", 8]")]
    [InlineData("Reshape(a, flat)", "a: float[\"B*T\", 4, 2]", "float[\"B*T\", 8]")]
    [InlineData("Reshape(a, flat)", "a: float[0, 8]", "float[0, 8]")]
    [InlineData("Reshape<allowzero = 1>(a, l02)", "a: float[0, 3]", "float[0, 2]")]
    [InlineData("Reshape(a, b)", "a: float[6], b: int64[2]", "float[?, ?]")]
    [InlineData("Reshape(a, none)", "a: float[1, 1]", "float[]")]
    [InlineData("Flatten<axis = -1>(a)", "a: float[2, 3, 4]", "float[6, 4]")]
    [InlineData("Flatten<axis = 0>(a)", "a: float[2, 3, 4]", "float[1, 24]")]
    [InlineData("Squeeze(a, m1)", "a: float[B, 1]", "float[B]")]
    [InlineData("Squeeze<axes = [0]>(a)", "a: float[1, 1]", "float[1]")]
    [InlineData("Squeeze(a)", "a: float[1, 3, 1]", "float[3]")]
    [InlineData("Unsqueeze(a, m12)", "a: float[B, T]", "float[B, T, 1, 1]")]
    [InlineData("Expand(a, l312)", "a: float[4, 1]", "float[3, 4, 2]")]
    [InlineData("Tile(a, l312)", "a: float[1, B, 5]", "float[3, B, 10]")]
    // slicing
    [InlineData("Concat<axis = -1>(a, b)", "a: float[B, 2], b: float[B, 3]", "float[B, 5]")]
    [InlineData("Concat<axis = 0>(a, b)", "a: float[T, 2], b: float[?, 2]", "float[?, 2]")]
    [InlineData("Slice(a, l1, big, m1)", "a: float[B, 6]", "float[B, 5]")]
    [InlineData("Slice(a, l0, big, l1)", "a: float[B, T]", "float[B, T]")]
    [InlineData("Slice(a, l1, big, l1)", "a: float[B, \"T + 1\"]", "float[B, T]")]
    [InlineData("Slice(a, l0, m1, l1)", "a: float[B, \"T + 2\"]", "float[B, \"T + 1\"]")]
    [InlineData("Slice(a, l1, big, l1)", "a: float[B, T]", "float[B, ?]")]
    [InlineData("Concat<axis = 0>(a, b)", "a: float[T, 2], b: float[1, 2]", "float[\"T + 1\", 2]")]
    [InlineData("Add(a, b)", "a: float[\"B*T\"], b: float[\"T*B\"]", "float[\"B*T\"]")]
    [InlineData("Slice(a, m1, l0, l0, m1)", "a: float[6]", "float[5]")]
    [InlineData("Slice(a, l2, l1, l0)", "a: float[6]", "float[0]")]
    [InlineData("Pad(a, pads)", "a: float[2, B]", "float[5, B]")]
    // indexing
    [InlineData("Gather(table, a)", "a: int64[B, T]", "float[B, T, 8]")]
    [InlineData("Gather<axis = -1>(a, i0)", "a: float[B, T]", "float[B]")]
    [InlineData("GatherElements<axis = 1>(a, b)", "a: float[4, 9], b: int64[4, 1]", "float[4, 1]")]
    [InlineData("GatherND(a, b)", "a: float[4, 9, 2], b: int64[7, 2]", "float[7, 2]")]
    [InlineData("GatherND<batch_dims = 1>(a, b)", "a: float[B, 9, 2], b: int64[B, 1]", "float[B, 2]")]
    [InlineData("ScatterND<reduction = \"add\">(a, b, c)", "a: float[4, 9], b: int64[3, 1], c: float[3, 9]", "float[4, 9]")]
    [InlineData("ScatterElements<axis = 1>(a, b, c)", "a: float[4, 9], b: int64[4, 1], c: float[4, 1]", "float[4, 9]")]
    [InlineData("OneHot(a, i5, b)", "a: int64[B, 3], b: float[2]", "float[B, 3, 5]")]
    [InlineData("NonZero(a)", "a: float[B, 3]", "int64[2, ?]")]
    [InlineData("TopK(a, l2)", "a: float[B, 9]", "float[B, 2]")]
    [InlineData("Trilu(a)", "a: float[B, B]", "float[B, B]")]
    [InlineData("CumSum(a, i1)", "a: int64[B, T]", "int64[B, T]")]
    // sources
    [InlineData("Range(i0, i5, i2)", "", "int64[3]")]
    [InlineData("Shape<start = 1>(a)", "a: float[2, 3, B]", "int64[2]")]
    [InlineData("Shape<start = -1>(a)", "a: float[2, 3, B]", "int64[1]")]
    [InlineData("Size(a)", "a: float[2]", "int64[]")]
    [InlineData("ConstantOfShape<value = bool[1] {0}>(l312)", "", "bool[3, 1, 2]")]
    [InlineData("Constant<value_floats = [1.0, 2.0]>()", "", "float[2]")]
    [InlineData("RandomUniformLike<dtype = 10>(a)", "a: float[B]", "float16[B]")]
    // normalization, attention, quantization
    [InlineData("LayerNormalization(a, w)", "a: float[B, T, 8]", "float[B, T, 8]")]
    [InlineData("RMSNormalization(a, w)", "a: float[B, T, 8]", "float[B, T, 8]")]
    [InlineData("RotaryEmbedding(a, b, b)", "a: float[B, 4, T, 8], b: float[B, T, 4]", "float[B, 4, T, 8]")]
    [InlineData("Attention(a, b, c)", "a: float[B, 8, T, 16], b: float[B, 2, S, 16], c: float[B, 2, S, 32]", "float[B, 8, T, 32]")]
    [InlineData("Attention<q_num_heads = 8, kv_num_heads = 2>(a, b, c)", "a: float[B, T, 128], b: float[B, S, 32], c: float[B, S, 64]", "float[B, T, 256]")]
    [InlineData("QuantizeLinear(a, f, e4)", "a: float[B, 3]", "float8e4m3fn[B, 3]")]
    [InlineData("QuantizeLinear<output_dtype = 3>(a, f)", "a: float[B, 3]", "int8[B, 3]")]
    [InlineData("DequantizeLinear(a, f, zp)", "a: int8[B, 3]", "float[B, 3]")]
    [InlineData("DynamicQuantizeLinear(a)", "a: float[B, 3]", "uint8[B, 3]")]
    public void Outputs_follow_from_the_operator(string call, string inputs, string expected) => Assert.Equal(expected, Infer($"y = {call}", inputs));

    [Theory]
    [InlineData("p, q = Split<axis = 1>(a)\n y = Identity(q)", "a: float[2, 6]", "float[2, 3]")]
    [InlineData("p, q, r = Split<num_outputs = 3>(a)\n y = Identity(r)", "a: float[8]", "float[2]")]
    [InlineData("p, q = Split(a, l12)\n y = Identity(q)", "a: float[3, B]", "float[2, B]")]
    [InlineData("p, q = LayerNormalization(a, w)\n y = Identity(q)", "a: bfloat16[B, T, 8]", "float[B, T, 1]")]
    [InlineData("p, q = DynamicQuantizeLinear(a)\n y = Identity(q)", "a: float[B, T, 8]", "float[]")]
    [InlineData("p, q = TopK(a, l2)\n y = Identity(q)", "a: float[B, 9]", "int64[B, 2]")]
    public void Further_outputs_follow_too(string nodes, string inputs, string expected) => Assert.Equal(expected, Infer(nodes, inputs));

    [Theory]
    // torchscript: the sizes of the input, gathered and put together again
    [InlineData("s = Shape(a)\n b0 = Gather(s, i0)\n b = Unsqueeze(b0, l0)\n h = Concat<axis = 0>(b, m1, l2)\n y = Reshape(a, h)", "a: float[B, T, 8]",
        "float[B, \"4*T\", 2]")]
    [InlineData("s = Shape(a)\n b0 = Gather(s, i0)\n t0 = Gather(s, i1)\n n0 = Mul(b0, t0)\n n = Unsqueeze(n0, l0)\n "
        + "h = Concat<axis = 0>(n, m1)\n y = Reshape(a, h)", "a: float[B, T, 8]", "float[\"B*T\", 8]")]
    [InlineData("s = Shape(a)\n t = Slice(s, l1, l2)\n c = ConstantOfShape(t)\n y = Identity(c)", "a: float[B, T, 8]", "float[T]")]
    [InlineData("s = Shape(a)\n e = Equal(s, m1)\n o = ConstantOfShape<value = int64[1] {1}>(l2)\n k = Where(e, o, s)\n y = Expand(b, k)",
        "a: float[B, T], b: float[1, 1]", "float[B, T]")]
    [InlineData("s = Shape(a)\n t = Gather(s, i1)\n y = Range(i0, t, i1)", "a: float[B, T]", "int64[T]")]
    [InlineData("s = Shape(a)\n t = Gather(s, i1)\n h = Div(t, i2)\n k = Unsqueeze(h, l0)\n y = ConstantOfShape(k)", "a: float[B, 9]", "float[4]")]
    [InlineData("s = Shape(a)\n n = ReduceProd<keepdims = 1>(s)\n y = ConstantOfShape(n)", "a: float[3, 4]", "float[12]")]
    [InlineData("s = Shape(a)\n c = Cast<to = 6>(s)\n d = Cast<to = 7>(c)\n n = Neg(d)\n m = Neg(n)\n y = ConstantOfShape(m)", "a: float[3, 4]", "float[3, 4]")]
    [InlineData("z = Size(a)\n n = Unsqueeze(z, l0)\n y = Reshape(a, n)", "a: float[B, 4]", "float[\"4*B\"]")]
    public void Shapes_computed_in_the_graph_are_known(string nodes, string inputs, string expected) => Assert.Equal(expected, Infer(nodes, inputs));

    [Fact]
    public void What_is_declared_stays_where_inference_knows_less()
    {
        Assert.Equal("float[B, 7]", Infer("y: float[B, 7] = Reshape(a, b)", "a: float[T], b: int64[2]"));
        Assert.Equal("float[batch]", Infer("y: float[batch] = Neg(a)", "a: float[B]"));
        Assert.Equal("float[3]", Infer("y: float[B] = Neg(a)", "a: float[3]"));
        Assert.Equal("float[3]", Infer("y: float[3] = com.other.Unknown(a)", "a: float[3]"));
    }

    [Theory]
    [InlineData("y: float[2] = Neg(a)", "a: float[3]", "'y' of shape [2], as declared, found [3]")]
    [InlineData("y: float[2, 3] = Neg(a)", "a: float[3]", "'y' of shape [2, 3], as declared, found [3]")]
    [InlineData("y: bfloat16[3] = Neg(a)", "a: float[3]", "'y' of type bfloat16, as declared, found float")]
    [InlineData("y = Add(a, b)", "a: float[3], b: float[4]", "shapes that broadcast, found [3] and [4]")]
    [InlineData("y = MatMul(a, b)", "a: float[2, 3], b: float[4, 2]", "one size to contract over")]
    [InlineData("y = Reshape(a, flat)", "a: float[3, 5]", "a shape that 15 elements of [3, 5] fit, found [-1, 8]")]
    [InlineData("y = Softmax(a)\n z = ArgMax<axis = 3>(a)", "a: float[3]", "an axis in [-1, 0], found 3")]
    [InlineData("y = Concat<axis = 0>(a, b)", "a: float[3, 2], b: float[3, 4]", "equal sizes but for axis 0")]
    public void Contradictions_are_errors(string nodes, string inputs, string expected)
    {
        var e = Assert.Throws<HaloException>(() => Infer(nodes, inputs));
        Assert.StartsWith("infer-shapes: '", e.Message, StringComparison.Ordinal);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void One_inserted_node_looks_through_its_producers()
    {
        var graph = Parse("s = Shape(a)\n t = Gather(s, l1)\n y = Identity(a)", "a: float[B, T]").Graph;
        var node = graph.Append(new Node("Expand", [graph.Values["f"], graph.Values["t"]], [new Value("new")]));
        ShapeInference.Infer(node);
        Assert.Equal("[T]", node.Output.Shape!.ToString());
    }

    [Fact]
    public void Rules_of_the_models_catalogue_are_used_and_merged()
    {
        var halve = new OperatorFacts("com.test", "Halve")
        {
            Shapes = inference => inference.Call(n => (n.Output.Type, n.Output.Shape) = (n.Input(0)!.Type, Shape.Of(n.Input(0)!.Shape![0].Size!.Value / 2))),
        };
        var operators = OperatorCatalogue.Standard.With([halve]);
        Assert.Equal("float[2]", Infer("y: float[B] = com.test.Halve(a)", "a: float[4]", operators));
        Assert.Equal("float[B]", Infer("y: float[B] = com.test.Halve(a)", "a: float[4]"));
        Assert.Throws<HaloException>(() => Infer("y: float[3] = com.test.Halve(a)", "a: float[4]", operators));
    }

    [Fact]
    public void Large_graphs_take_no_time()
    {
        var lines = string.Join("\n", Enumerable.Range(1, 40_000).Select(i => i % 4 == 0 ? $"v{i} = Reshape(v{i - 1}, flat)" : $"v{i} = Add(v{i - 1}, f)"));
        var graph = Parse(lines, "v0: float[16, 8]", "v40000").Graph;
        var begun = ThreadTime.Seconds;
        ShapeInference.Run(graph);
        Assert.Equal("[16, 8]", graph.Values["v40000"].Shape!.ToString());
        Assert.InRange(ThreadTime.Seconds - begun, 0, 2);
    }

    private static string Infer(string nodes, string inputs, OperatorCatalogue? operators = null)
    {
        var graph = Parse(nodes, inputs, operators: operators).Graph;
        ShapeInference.Run(graph);
        var line = GraphPrinter.Print(graph.Values["y"].Producer!);
        return line["y: ".Length..line.IndexOf(" = ", StringComparison.Ordinal)];
    }

    private static Model Parse(string nodes, string inputs, string output = "y", OperatorCatalogue? operators = null) =>
        GraphParser.Parse($"opset: {{\"\": 21}}\ngraph g({inputs}) -> ({output}) {{\n "
            + $"initializers {{ {Initializers} l12: int64[2] = {{1, 2}} }}\n {nodes}\n}}", operators ?? OperatorCatalogue.Standard);
}
