using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Tests;

/// <summary>Every message has the form of style.md, and the exception keeps its parts; that verbs print it so is checked where each is refused.</summary>
public class ErrorFormTests
{
    [Fact]
    public void A_message_has_all_its_parts()
    {
        var cause = new InvalidOperationException();
        var e = new HaloException("read-onnx", "x.onnx", "a model", "text", "Export it again.", cause);
        Assert.Equal("read-onnx: x.onnx: expected a model, found text. Export it again.", e.Message);
        Assert.Equal(("read-onnx", "x.onnx", "a model", "text", "Export it again."), (e.Source, e.Subject, e.Expected, e.Found, e.Advice));
        Assert.Same(cause, e.InnerException);
    }

    [Theory]
    [InlineData("", "build-gradient: 'scale' (Mod): expected a gradient rule, found none. Freeze it.")]
    [InlineData("forward", "build-gradient: 'scale' (Mod, forward): expected a gradient rule, found none. Freeze it.")]
    public void A_pass_names_the_node_and_what_it_is_to_it(string role, string message) =>
        Assert.Equal(message, new PassException("build-gradient", Mod(), role, "a gradient rule", "none", "Freeze it.").Message);

    [Fact]
    public void The_verifier_shows_the_graph_nearby()
    {
        var node = Mod();
        var e = new VerifierException(node, "an input", "none");
        Assert.StartsWith("verify: 'scale' (Mod): expected an input, found none. If a pass made this graph, it has a defect;", e.Message,
            StringComparison.Ordinal);
        Assert.Contains("\n", e.Message, StringComparison.Ordinal);
        Assert.Same(node, e.Node);
        Assert.Contains("Mod", e.Message.Split('\n', 2)[1], StringComparison.Ordinal);
    }

    private static Node Mod()
    {
        var graph = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = 21 } }.Graph;
        var x = graph.AddInput(new Value("x", ElementType.Float, Shape.Of(2)));
        graph.AddOutput(Halo.Building.GraphBuilder.AtEnd(graph).Op("scale", "Mod", [x, x]));
        return graph.Nodes.Single();
    }
}
