using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.Weights;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Text;

namespace Halo.Tests.Passes.Gradients;

public class BuildGradientTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    /// <summary>The forward part of a joint export, differentiated here, against PyTorch's loss and gradients.</summary>
    [Theory]
    [MemberData(nameof(ExportFixture.All), MemberType = typeof(ExportFixture))]
    public void Loss_and_gradients_of_a_llama_are_those_of_pytorch(string name)
    {
        var model = ForwardOf(name);
        Run(model, "build-gradient");
        AssertExpected(name, model);
        var (layers, _) = LinearGemms.In(model.Graph);
        var blocks = name == "llama3-gqa" ? 3 : 2;
        Assert.Equal((7 * blocks) + 1, layers.Count);
        Assert.All(layers, l => Assert.Equal([GemmRole.F, GemmRole.E, GemmRole.G], l.Gemms.Select(g => g.Role)));
        Assert.All(layers.SelectMany(l => l.Gemms), g => Assert.Equal((2, false), (g.Node.Output.Shape!.Rank, g.IsFlipped)));
    }

    [Fact]
    public void What_is_frozen_has_no_gradient_and_costs_nothing()
    {
        var all = ForwardOf("llama2-mha");
        Run(all, "build-gradient");
        var some = ForwardOf("llama2-mha");
        Run(some, "build-gradient{freeze=\"model.embed_tokens.weight | model.layers.0.* | *norm.weight\"}");
        var kept = some.Graph.Outputs.Select(o => o.Name).ToList();
        Assert.Equal(all.Graph.Outputs.Select(o => o.Name).Where(n => n is "loss" or "grad.lm_head.weight"
            || (n.StartsWith("grad.model.layers.1.", StringComparison.Ordinal) && !n.EndsWith("norm.weight", StringComparison.Ordinal))), kept);
        AssertExpected("llama2-mha", some);
        Assert.Equal(0, Run(some, "remove-dead-code").Passes.Single().Rewrites);
        Assert.True(some.Graph.NodeCount < all.Graph.NodeCount * 3 / 4, $"{some.Graph.NodeCount} nodes of {all.Graph.NodeCount}");
    }

    [Theory]
    [InlineData("build-gradient{freeze=\"lm_head.wieght\"}", "build-gradient: freeze: expected patterns that match parameters, found lm_head.wieght.")]
    [InlineData("build-gradient{freeze=\"*\"}", "expected parameters, which are float inputs, found all of them frozen.")]
    public void A_freeze_that_means_nothing_is_refused(string pipeline, string message) =>
        Assert.Contains(message, Assert.Throws<PassException>(() => Run(ForwardOf("llama2-mha"), pipeline)).Message, StringComparison.Ordinal);

    [Fact]
    public void One_operator_without_a_rule_is_named() =>
        Refused("""
            graph g(w: float[2, 3], k: float[2, 2, 1]) -> (loss: float[]) {
              initializers { two: float[] = 2  axis: int64[1] = {0} }
              m: float[2, 3] = Mod<fmod = 1>(w, two)  # layers.3/mlp/scale
              loss: float[] = ReduceSum<keepdims = 0>(m)  # sum
            }
            """,
            "build-gradient: 'layers.3/mlp/scale' (Mod, forward): expected an operator with a gradient rule, found Mod. "
            + "Freeze what lies before it, or add a rule.");

    [Fact]
    public void Experts_and_convolutions_are_listed_before_anything_is_built()
    {
        var model = Parse("""
            graph g(router: float[4, 2], expert: float[4, 4], kernel: float[4, 4, 3], embed: float[9, 4], ids: int64[1, 5]) -> (loss: float[]) {
              initializers { k: int64[1] = {1} }
              x: float[1, 5, 4] = Gather(embed, ids)  # embedding
              columns: float[1, 4, 5] = Transpose<perm = [0, 2, 1]>(x)  # columns
              a: float[1, 4, 3] = Conv(columns, kernel)  # conv.0
              rows: float[1, 3, 4] = Transpose<perm = [0, 2, 1]>(a)  # rows
              scores: float[1, 3, 2] = MatMul(rows, router)  # router
              best: float[1, 3, 1], which: int64[1, 3, 1] = TopK(scores, k)  # experts.0
              second: float[1, 3, 1], other: int64[1, 3, 1] = TopK(scores, k)  # experts.1
              y: float[1, 3, 4] = MatMul(rows, expert)  # expert
              z: float[1, 3, 4] = Mul(y, best)  # weighted
              u: float[1, 3, 4] = Mul(z, second)  # weighted.1
              loss: float[] = ReduceSum<keepdims = 0>(u)  # sum
            }
            """);
        var before = GraphPrinter.Print(model);
        var e = Assert.Throws<PassException>(() => Run(model, "build-gradient"));
        Assert.Contains("expected operators with a gradient rule, found Conv ('conv.0'), TopK (2 nodes, the first 'experts.0'). "
            + "Freeze what lies before them, or add rules.", e.Message, StringComparison.Ordinal);
        Assert.Equal(before, GraphPrinter.Print(model));
    }

    [Fact]
    public void Control_flow_that_reads_a_parameter_is_listed()
    {
        var model = Parse("""
            graph g(w: float[3], ids: int64[1]) -> (c: bool[1]) {
              c: bool[1] = Cast<to = 9>(ids)
            }
            """);
        var graph = model.Graph;
        Graph Branch(string opType)
        {
            var branch = new Graph(opType, graph);
            var y = new Value("y", ElementType.Float, Shape.Of(3));
            branch.Append(new Node(opType, [graph.Values["w"]], [y]));
            branch.AddOutput(y);
            return branch;
        }
        var chosen = new Value("chosen", ElementType.Float, Shape.Of(3));
        graph.Append(new Node("If", [graph.Values["c"]], [chosen], name: "gate").With(
            new Attribute("then_branch", AttributeKind.Graph, Branch("Neg")), new Attribute("else_branch", AttributeKind.Graph, Branch("Abs"))));
        var loss = new Value("loss", ElementType.Float, Shape.Scalar);
        graph.Append(new Node("ReduceSum", [chosen], [loss]).With(Attribute.Of("keepdims", 0L)));
        graph.AddOutput(loss);
        Assert.Contains("'gate' (If, forward): expected an operator with a gradient rule, found If.",
            Assert.Throws<PassException>(() => Run(model, "build-gradient")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_parameter_that_the_loss_does_not_depend_on_is_named() =>
        Refused("""
            graph g(w: float[3], odd: float[3], unread: float[2]) -> (loss: float[]) {
              n: float[3] = Neg(odd)
              loss: float[] = ReduceSum<keepdims = 0>(w)  # sum
            }
            """,
            "build-gradient: 2 parameters: expected parameters that the loss depends on, found odd, unread. Freeze them, or remove them from the graph.");

    [Fact]
    public void Sizes_that_are_not_known_are_refused() =>
        Refused("""
            graph g(w: float[rows, 3]) -> (loss: float[]) {
              loss: float[] = ReduceSum<keepdims = 0>(w)  # sum
            }
            """,
            "'sum' (ReduceSum, forward): expected a static shape of 'w', found [rows, 3]. Run specialize-shapes first.");

    [Fact]
    public void A_graph_without_a_loss_is_refused() =>
        Refused("""
            graph g(w: float[2, 3]) -> (y: float[2, 3]) {
              y: float[2, 3] = Neg(w)  # minus
            }
            """,
            "expected a scalar float output 'loss', found %y: float[2, 3]. Run attach-loss first.");

    [Theory]
    [InlineData("Attention<softcap = 5.0>(x, x, x)", "expected attention without softcap, found softcap 5.")]
    [InlineData("Pad<mode = \"edge\">(x, pads)", "expected padding by a constant, found mode edge.")]
    public void A_setting_without_a_rule_is_refused(string call, string message)
    {
        var model = Parse($$"""
            graph g(x: float[1, 2, 3, 4], s: float[4]) -> (loss: float[]) {
              initializers { pads: int64[8] = {0, 0, 0, 0, 0, 0, 0, 0} }
              y: float[1, 2, 3, 4] = {{call}}  # node
              z: float[1, 2, 3, 4] = Mul(y, s)  # scaled
              loss: float[] = ReduceSum<keepdims = 0>(z)  # sum
            }
            """);
        Assert.Contains(message, Assert.Throws<PassException>(() => Run(model, "build-gradient")).Message, StringComparison.Ordinal);
    }

    private static void Refused(string graph, string message) =>
        Assert.Contains(message, Assert.Throws<PassException>(() => Run(Parse(graph), "build-gradient")).Message, StringComparison.Ordinal);

    private static Model Parse(string graph) => GraphParser.Parse("ir_version: 10, opset: {\"\": 23}\n" + graph, HaloOperators.Catalogue);

    /// <summary>Joint graphs without their gradients.</summary>
    private static Model ForwardOf(string name)
    {
        var model = OnnxReader.Read(ExportFixture.File(name, "training.onnx"), HaloOperators.Catalogue);
        foreach (var output in model.Graph.Outputs.Where(o => TrainingNames.IsGradient(o)).ToList())
            model.Graph.RemoveOutput(output);
        Run(model, "upgrade-opset,remove-dead-code,fold-constants,deduplicate");
        return model;
    }

    private static void AssertExpected(string name, Model model)
    {
        using var expected = CheckpointReader.Open(ExportFixture.File(name, "expected.safetensors"));
        using var weights = CheckpointReader.Open(ExportFixture.File(name, "model.safetensors"));
        var inputs = model.Graph.Inputs.ToDictionary(i => i.Name, i => Read((i.Type.IsFloat() ? weights : expected)[i.Name]));
        var found = Evaluator.Evaluate(model, inputs);
        foreach (var (output, tensor) in model.Graph.Outputs.Zip(found))
        {
            var error = RelativeError.Of(tensor, Read(expected[output.Name]));
            Assert.True(error <= Tolerances.OtherOperators, $"{output.Name}: {error:E2}");
        }
    }

    private static Tensor Read(SafetensorsTensor tensor) => new(tensor.DType, tensor.Shape, new MemoryBytes(tensor.Bytes().ToArray()));

    private static PassRun Run(Model model, string pipeline) =>
        PassManager.Run(model, Pipelines.Parse(pipeline), new PassOptions { Evaluator = Evaluator });
}
