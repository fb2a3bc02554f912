using Halo.CustomOps;
using Halo.Ir;
using Halo.Text;

namespace Halo.Tests.Ir;

/// <summary>Edits leave graphs whole, also where they are refused.</summary>
public class GraphEditTests
{
    private const string Text = """
        ir_version: 10, opset: {"": 21, "com.halo": 1}, metadata: {"key": "value"}
        graph g(x: float[2, 4]) -> (y: float[2, 4]) {
          initializers { w: float[4] = {1, 2, 3, 4} }
          a: float[2, 4] = Add(x, w)
          y: float[2, 4] = com.test.Twice(a)
        }
        function com.test.Twice(a) -> (b) opset {"": 21} {
          b = Add(a, a)
        }
        """;

    [Fact]
    public void A_clone_is_the_same_and_another()
    {
        var model = GraphParser.Parse(Text, HaloOperators.Catalogue);
        var copy = model.Clone();
        Assert.Equal(GraphPrinter.Print(model), GraphPrinter.Print(copy));
        Assert.Same(model.Operators, copy.Operators);
        copy.Graph.Values["y"].Producer!.ReplaceInput(0, copy.Graph.Values["x"]);
        copy.Graph.Remove(copy.Graph.Values["a"].Producer!);
        copy.Graph.RemoveUnusedInitializers();
        copy.Functions.Single().Body.Nodes.Single().OpType = "Mul";
        Assert.Equal(GraphPrinter.Print(GraphParser.Parse(Text, HaloOperators.Catalogue)), GraphPrinter.Print(model));
    }

    [Fact]
    public void A_node_whose_second_output_is_taken_leaves_nothing_behind()
    {
        var graph = GraphParser.Parse(Text, HaloOperators.Catalogue).Graph;
        var before = GraphPrinter.Print(graph);
        var split = new Node("Split", [graph.Values["a"]], [new Value("free"), new Value("a")]);
        Assert.Contains("'a' is defined twice", Assert.Throws<InvalidOperationException>(() => graph.Append(split)).Message, StringComparison.Ordinal);
        Assert.False(graph.TryGetValue("free", out _));
        Assert.Throws<InvalidOperationException>(() => graph.Append(new Node("Split", [], [new Value("same"), new Value("same")])));
        Assert.False(graph.TryGetValue("same", out _));
        Assert.DoesNotContain("free", GraphPrinter.Print(graph), StringComparison.Ordinal);
        Assert.Equal(before, GraphPrinter.Print(graph));
    }

    [Fact]
    public void An_unused_initializer_is_none_when_it_is_removed()
    {
        var graph = GraphParser.Parse(Text, HaloOperators.Catalogue).Graph;
        var unused = graph.AddInitializer("unused", Tensor.Scalar(1f));
        Assert.Equal(1, graph.RemoveUnusedInitializers());
        Assert.Null(unused.Initializer);
        Assert.Null(unused.Constant);
        Assert.False(graph.TryGetValue("unused", out _));
    }

    [Fact]
    public void A_graph_belongs_to_one_model()
    {
        var graph = new Graph("g");
        Assert.Contains("belongs to no model", Assert.Throws<InvalidOperationException>(() => graph.Model).Message, StringComparison.Ordinal);
        var model = new Model(graph, HaloOperators.Catalogue);
        Assert.Same(model, graph.Model);
        Assert.Same(model, new Graph("branch", graph).Model);
        Assert.Throws<InvalidOperationException>(() => new Model(graph, HaloOperators.Catalogue));
    }
}
