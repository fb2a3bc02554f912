using Halo.CustomOps;
using Halo.Ir;
using Halo.Text;

namespace Halo.Tests.Text;

public class GraphTextTests
{
    private const string Example = """
        ir_version: 10, opset: {"": 21, "com.halo": 1}
        producer: "pytorch" "2.5"
        metadata: {"halo.ledger": "a \"quoted\" line\n"}
        graph training(W: float[64, 32], x: float[batch, 32]) -> (y: float[batch, 64], loss) {
          initializers {
            c: int64[2] = {0, 1}
            half: float[] = 0.5
            zeros: float[128, 128] = splat 0
            ones: bfloat16[3, 3] = splat 1
            codes: float8e4m3fn[2] = {0x7e, 0x1}
            nibbles: int4[3] = {-8, 7, -1}
            words: string[2] = {"a", "b c"}
            limits: float[4] = {nan, inf, -inf, -0}
          }
          Wt: float[32, 64] = Transpose<perm = [1, 0]>(W)  # node_name
          y: float[batch, 64] = MatMul(x, Wt)
          q, s: float[] = com.halo.Quantize:e4m3<alpha = 2.0, axes = [], mode = "row", scales = [1.0, 0.5],
        """ + """
         table = int64[2] {0, 1}, zero = float[] 1>(y, _, "odd name")  # ""
          loss: ?[3, ?] = If<else_branch = graph no() -> (a) {
              a = Identity(y)
            }, then_branch = graph yes() -> (b) {
              b = Relu(y)
            }>(onnx::Bool_1)
        }
        function com.halo.Quantize:e4m3<alpha, axes = [0]>(X, S) -> (Y, T) opset {"": 21} {
          doc: "Rounds."
          Y = Mul<to = int @alpha>(X, S)
          T = Identity(S)
        }

        """;

    private static readonly string Complete = Example
        .Replace("x: float[batch, 32])", "x: float[batch, 32], onnx::Bool_1: bool[], \"odd name\": ?[])", StringComparison.Ordinal);

    [Fact]
    public void Text_written_by_hand_is_printed_back_as_it_was()
    {
        var text = GraphPrinter.Print(GraphParser.Parse(Complete, HaloOperators.Catalogue));
        Assert.Equal(Complete.Replace("-> (y: float[batch, 64], loss)", "-> (y: float[batch, 64], loss: ?[3, ?])", StringComparison.Ordinal), text);
    }

    [Fact]
    public void Parsed_models_have_what_the_text_says()
    {
        var model = GraphParser.Parse(Complete, HaloOperators.Catalogue);
        Assert.Equal(10, model.IrVersion);
        Assert.Equal(21, model.Opset);
        Assert.Equal("a \"quoted\" line\n", model.Metadata["halo.ledger"]);
        Assert.Equal(new byte[] { 0x78, 0x0F }, model.Graph.Values["nibbles"].Initializer!.ToBytes());
        Assert.Equal(0x3F80, model.Graph.Values["ones"].Initializer!.ToArray<ushort>()[8]);
        var quantize = model.Graph.Nodes.Single(n => n.OpType == "Quantize");
        Assert.Equal("", quantize.Name);
        Assert.Equal("com.halo", quantize.Domain);
        Assert.Null(quantize.Input(1));
        Assert.Equal([1.0f, 0.5f], quantize.Attributes["scales"].Floats);
        Assert.NotNull(model.FindFunction(quantize));
        Assert.Equal("node_name", model.Graph.Nodes.First().Name);
        Assert.Equal(Dim.Named("batch"), model.Graph.Values["y"].Shape![0]);
        Assert.Equal("alpha", model.Functions.Single().Body.Nodes.First().Attributes["to"].ReferenceTo);
    }

    [Fact]
    public void Commas_and_types_are_optional_by_hand()
    {
        var model = GraphParser.Parse("""
            opset: {"": 21}
            # a comment of its own
            graph g(x: float[3]) -> (y: float[3]) {
              initializers { a: float[] = 1, b: float[1] = {2} c: int64[0] = {} }
              t = Add(x, a)
              y = Mul(t, b)
            }
            """, HaloOperators.Catalogue);
        Assert.Equal(3, model.Graph.Initializers.Count);
        Assert.Equal(ElementType.Float, model.Graph.Outputs[0].Type);
        Assert.Equal("t", model.Graph.Nodes.First().Name);
    }

    [Theory]
    [InlineData("graph g() -> (y) {\n y = Neg(x)\n}", "line 2", "a definition of 'x'")]
    [InlineData("graph g(x) -> (y) {\n y = Neg(x)\n y = Neg(x)\n}", "line 4", "a new name")]
    [InlineData("graph g() -> () {\n initializers { w: float[9] = hash 0123 }\n}", "line 2", "elements or a splat")]
    [InlineData("graph g() -> () {\n initializers { w: int8[1] = {300} }\n}", "line 2", "a int8")]
    [InlineData("graph g() -> () {\n initializers { w: int8[2] = {3} }\n}", "line 2", "2 elements")]
    [InlineData("graph g(x: flaot) -> () {\n}", "line 1", "an element type")]
    [InlineData("graph g(x) -> (x) {\n", "line 2", "a name")]
    public void Mistakes_name_the_line_and_what_had_to_stand_there(string text, string line, string expected)
    {
        var e = Assert.Throws<HaloException>(() => GraphParser.Parse(text, HaloOperators.Catalogue));
        Assert.StartsWith($"parse-graph: {line}: expected", e.Message, StringComparison.Ordinal);
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Large_tensors_are_a_splat_a_hash_or_a_size()
    {
        var graph = new Graph("g");
        graph.AddInitializer("w", Tensor.Floats([9], [1, 2, 3, 4, 5, 6, 7, 8, 9]));
        graph.AddInitializer("v", Tensor.Floats([9], [1, 1, 1, 1, 1, 1, 1, 1, 1]));
        var text = GraphPrinter.Print(graph);
        Assert.Matches("w: float\\[9\\] = hash [0-9a-f]{16}\n", text);
        Assert.Contains("v: float[9] = splat 1\n", text, StringComparison.Ordinal);
        Assert.Contains("w: float[9] = ... 36 bytes\n", GraphPrinter.Print(graph, new PrintOptions { ReadWeights = false }), StringComparison.Ordinal);
    }

    [Fact]
    public void The_text_around_a_node_is_a_few_lines_with_a_mark()
    {
        var lines = string.Join("\n", Enumerable.Range(1, 20).Select(i => $"v{i} = Neg(v{i - 1})"));
        var graph = GraphParser.Parse($"graph g(v0) -> () {{\n{lines}\n}}", HaloOperators.Catalogue).Graph;
        Assert.Equal("  v9 = Neg(v8)\n> v10 = Neg(v9)\n  v11 = Neg(v10)\n", GraphPrinter.PrintAround(graph.Values["v10"].Producer!, 1, 1));
    }
}
