using Halo.CustomOps;
using Halo.Ir;
using Halo.Serialization;
using Halo.Text;

namespace Halo.Tests.Text;

public class GraphDiffTests
{
    private const string Base = """
        ir_version: 10, opset: {"": 21, "com.halo": 1}
        graph g(x: float[2, 3], w: float[3, 3], v: float[3, 3]) -> (y: float[2, 3], z: float[2, 3]) {
          initializers { half: float[] = 0.5, two: float[3] = {1, 2, 3} }
          a = MatMul(x, w)
          b = MatMul(a, v)
          t = Transpose<perm = [1, 0]>(w)
          c = MatMul(b, t)
          d = Mul(c, half)
          e = com.halo.Round(d)
          y = Add(e, two)
          z = Softmax<axis = -1>(c)
        }
        function com.halo.Round(X) -> (Y) opset {"": 21} {
          Y = Round(X)
        }
        """;

    [Fact]
    public void A_copy_is_the_same() => Assert.Equal("same structure\n", GraphDiff.Between(Parse(Base), Parse(Base)).ToText());

    [Theory]
    [InlineData("axis = -1", "axis = 0", "changed (1):\n  'z' (Softmax): Softmax<axis = -1> -> Softmax<axis = 0>\n")]
    [InlineData("b = MatMul(a, v)", "b = MatMul(v, a)", "changed (1):\n  'b' (MatMul): input 0 from 'a' (MatMul) -> 'v'; input 1 from 'v' -> 'a' (MatMul)\n")]
    [InlineData("b = MatMul(a, v)", "n = Neg(a)\n b = MatMul(n, v)",
        "operators (1):\n  Neg 0 -> 1\nonly in B (1):\n  n = Neg(a)\nchanged (1):\n  'b' (MatMul): input 0 from 'a' (MatMul) -> 'n' (Neg)\n")]
    [InlineData("z = Softmax<axis = -1>(c)", "z = Identity(c)",
        "only in A (1):\n  z: float[2, 3] = Softmax<axis = -1>(c)\nonly in B (1):\n  z: float[2, 3] = Identity(c)\n")]
    [InlineData("{1, 2, 3}", "{1, 2, 4}", "model (1):\n  initializer 'two': float[3] -> float[3] of other content\n")]
    [InlineData("half: float[] = 0.5", "half: float[1] = {0.5}", "model (1):\n  initializer 'half': float[] -> float[1]\n")]
    [InlineData("\"\": 21, \"com.halo\": 1", "\"\": 23, \"com.halo\": 1", "model (1):\n  opset \"\": 21 -> 23\n")]
    [InlineData("x: float[2, 3]", "x: float[4, 3]", "model (1):\n  input 'x': float[2, 3] -> float[4, 3]\n")]
    [InlineData(", v: float[3, 3])", ", v: float[3, 3], u: float[1])", "model (1):\n  input 'u': only in B\n")]
    [InlineData("-> (y: float[2, 3], z: float[2, 3])", "-> (y: float[2, 3])", "model (1):\n  output 'z': only in A\n")]
    [InlineData("-> (y: float[2, 3], z: float[2, 3])", "-> (z: float[2, 3], y: float[2, 3])", "same structure\n")]
    [InlineData("Y = Round(X)", "Y = Floor(X)", "model (1):\n  function com.halo.Round: another body\n")]
    [InlineData("Y = Round(X)", "W = Round(X)\n Y = Neg(W)", "model (1):\n  function com.halo.Round: another body\n")]
    public void Each_planted_change_is_found_and_nothing_else(string before, string after, string expected)
    {
        Assert.Contains(before, Base, StringComparison.Ordinal);
        var difference = GraphDiff.Between(Parse(Base), Parse(Base.Replace(before, after, StringComparison.Ordinal)));
        Assert.Contains(expected, difference.ToText(), StringComparison.Ordinal);
        Assert.Equal(expected == "same structure\n", difference.IsEmpty);
        Assert.True(difference.OnlyInA.Count + difference.OnlyInB.Count + difference.Changed.Count <= 3, difference.ToText());
    }

    [Theory]
    [InlineData("llama2-mha", "training.onnx")]
    [InlineData("llama32-tied", "logits-torchscript-opset17.onnx")]
    [InlineData("llama3-gqa", "training.onnx")]
    public void Renaming_every_value_and_node_changes_nothing(string name, string file)
    {
        var path = ExportFixture.File(name, file);
        var (a, b) = (OnnxReader.Read(path, HaloOperators.Catalogue), OnnxReader.Read(path, HaloOperators.Catalogue));
        Rename(b.Graph);
        var difference = GraphDiff.Between(a, b);
        Assert.True(difference.IsEmpty, difference.ToText());
        Assert.Equal(a.Graph.Inputs.Count + a.Graph.Outputs.Count, difference.Renamed.Count);
    }

    [Fact]
    public void One_change_in_a_renamed_real_graph_is_one_change()
    {
        var path = ExportFixture.File("llama3-gqa", "training.onnx");
        var (a, b) = (OnnxReader.Read(path, HaloOperators.Catalogue), OnnxReader.Read(path, HaloOperators.Catalogue));
        Rename(b.Graph);
        var sigmoid = b.Graph.Nodes.First(n => n.OpType == "Sigmoid");
        sigmoid.OpType = "Tanh";
        var difference = GraphDiff.Between(a, b);
        Assert.Equal("Sigmoid", Assert.Single(difference.OnlyInA).OpType);
        Assert.Same(sigmoid, Assert.Single(difference.OnlyInB));
        Assert.All(difference.Changed, c => Assert.Contains("(Sigmoid) ->", c.What, StringComparison.Ordinal));
    }

    [Fact]
    public void Long_lists_are_counted_per_layer()
    {
        var lines = string.Join("\n",
            Enumerable.Range(0, 30).Select(i => $"layers.{i / 10}.neg{i} = Neg(x)\nlayers.{i / 10}.y{i} = Exp(layers.{i / 10}.neg{i})"));
        var a = Parse("opset: {\"\": 21}\ngraph g(x: float[]) -> (x) {\n}");
        var b = Parse($"opset: {{\"\": 21}}\ngraph g(x: float[]) -> (x) {{\n{lines}\n}}");
        Assert.Contains("only in B (60):\n  layer 0: 20 nodes (Exp 10, Neg 10)\n  layer 1: 20 nodes", GraphDiff.Between(a, b).ToText(),
            StringComparison.Ordinal);
    }

    private static void Rename(Graph graph)
    {
        var count = 0;
        foreach (var value in graph.Values.Values.ToList())
            graph.Rename(value, $"renamed_{count++}");
        foreach (var node in graph.Nodes)
            node.Name = $"node_{count++}";
    }

    private static Model Parse(string text) => GraphParser.Parse(text, HaloOperators.Catalogue);
}
