using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Text;

namespace Halo.Tests.Passes;

public class PassManagerTests
{
    private const string Doubling = """
        ir_version: 10, opset: {"": 21}
        graph g(x: float[2]) -> (y: float[2], loss: float[]) {
          initializers { two: float[] = 2 }
          y: float[2] = Mul(x, two)
          loss: float[] = ReduceSum<keepdims = 0>(y)
        }
        """;

    private static readonly Dictionary<string, Tensor> Inputs = new() { ["x"] = Tensor.Floats([2], [1, 3]) };

    [Fact]
    public void A_failure_names_the_node_and_the_passes_before()
    {
        var model = GraphParser.Parse(Doubling, HaloOperators.Catalogue);
        model.Graph.Append(new Node("NoSuchOperator", [], [new Value("z")], name: "odd"));
        model.Opsets[""] = 20;
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, [new Deduplicate(), new FoldSplats(), new UpgradeOpset()], new PassOptions()));
        Assert.Equal("upgrade-opset: 'odd' (NoSuchOperator): expected an operator known to mean the same at opset 21 as at 20, found NoSuchOperator. "
            + "Export the model at the later opset, or add the operator to the table. Nothing is written; passes before: deduplicate, fold-splats.",
                e.Message);
        Assert.Equal(["deduplicate", "fold-splats"], e.PassesSoFar);
    }

    [Fact]
    public void Stopping_and_printing_go_by_name()
    {
        var seen = new List<string>();
        var options = new PassOptions
        {
            StopAfter = "fold-splats",
            PrintAfter = ["fold-splats"],
            Print = (name, _) => seen.Add(name),
            Evaluator = new OnnxEvaluator()
        };
        var run = PassManager.Run(GraphParser.Parse(Doubling, HaloOperators.Catalogue), Pipelines.Parse(Pipelines.Cleanup), options);
        Assert.Equal(["upgrade-opset", "order-scatter-adds", "remove-dead-code", "fold-splats"], run.Passes.Select(p => p.Pass.Name));
        Assert.Equal(["fold-splats"], seen);
        Assert.Contains("'deduplicat'", Assert.Throws<HaloException>(() =>
            PassManager.Run(GraphParser.Parse(Doubling, HaloOperators.Catalogue), [new Deduplicate()],
                new PassOptions { StopAfter = "deduplicat" })).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2.0f, "exact", true)]
    [InlineData(2.0002f, "exact", false)]
    [InlineData(2.0002f, "reassociating", true)]
    [InlineData(2.02f, "reassociating", false)]
    [InlineData(2.02f, "quantizing", true)]
    [InlineData(4.0f, "quantizing", false)]
    [InlineData(float.NaN, "quantizing", false)]
    public void Verification_holds_a_pass_to_its_effect(float factor, string effect, bool holds)
    {
        ValueEffect claimed = effect switch
        {
            "exact" => new ValueEffect.Exact(),
            "reassociating" => new ValueEffect.Reassociating(1e-3),
            _ => new ValueEffect.Quantizing(20)
        };
        var options = new PassOptions { Evaluator = new OnnxEvaluator(), VerifyInputs = Inputs };
        PassRun Run() => PassManager.Run(GraphParser.Parse(Doubling, HaloOperators.Catalogue), [new Scale(factor) { Effect = claimed }], options);
        if (!holds)
        {
            Assert.Contains("scale: output ", Assert.Throws<PassException>(Run).Message, StringComparison.Ordinal);
            return;
        }
        var measured = Run().Passes.Single().Measured!;
        Assert.Equal(["y", "loss"], measured.Select(m => m.Output));
        Assert.All(measured, m => Assert.InRange(m.RelativeError, (factor / 2) - 1 - Tolerances.OneOperator, (factor / 2) - 1 + Tolerances.OneOperator));
    }

    [Fact]
    public void A_cycle_is_the_fault_of_the_pass_that_made_it()
    {
        var e = Assert.Throws<PassException>(() => PassManager.Run(GraphParser.Parse(Doubling, HaloOperators.Catalogue), [new Knot()], new PassOptions()));
        Assert.StartsWith("knot: ", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Folding_without_a_runtime_is_refused_only_if_something_is_to_be_computed()
    {
        PassManager.Run(GraphParser.Parse(Doubling, HaloOperators.Catalogue), [new FoldConstants()], new PassOptions());
        var model = GraphParser.Parse(Doubling.Replace("y: float[2] = Mul(x, two)", "four = Add(two, two)  # sum\n  y: float[2] = Mul(x, four)",
            StringComparison.Ordinal), HaloOperators.Catalogue);
        Assert.StartsWith("fold-constants: 'sum' (Add, constant): expected a runtime", Assert.Throws<PassException>(() =>
            PassManager.Run(model, [new FoldConstants()], new PassOptions())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_ledger_is_the_same_each_time_survives_the_metadata_and_grows()
    {
        static Model Rewritten(int times)
        {
            var model = GraphParser.Parse(Doubling, HaloOperators.Catalogue);
            var options = new PassOptions { Evaluator = new OnnxEvaluator(), VerifyInputs = Inputs };
            for (var i = 0; i < times; i++)
                Ledger.Append(model, PassManager.Run(model, [new Scale(2.02f) { Effect = new ValueEffect.Quantizing(20) }, new FoldSplats()], options),
                    new string('a', 64));
            return model;
        }
        var text = Rewritten(1).Metadata[Ledger.MetadataKey];
        Assert.Equal(text, Rewritten(1).Metadata[Ledger.MetadataKey]);
        Assert.Equal(text, Ledger.Parse(text).ToJson());
        Assert.Equal($$$"""{"rewrites":[{"tool":"{{{Ledger.ToolVersion}}}","inputSha256":"{{{new string('a', 64)}}}","passes":["""
            + """{"pass":"scale","effect":"quantizing","rewrites":1,"skipped":0,"options":"factor=2.02","limit":20,"measured":"""
            + """{"outputs":2,"identical":0,"worstOutput":"y","worstRelativeError":0.01,"worstSqnrDb":40,"lossRelativeError":0.01}},"""
            + """{"pass":"fold-splats","effect":"exact","rewrites":0,"skipped":0,"options":"min-bytes=64","measured":"""
            + """{"outputs":2,"identical":2,"worstOutput":"y","worstRelativeError":0,"lossRelativeError":0}}]}]}""", text);
        var grown = Ledger.Of(Rewritten(2));
        Assert.Equal(2, grown.Rewrites.Count);
        Assert.Equal(2.02f, float.Parse(grown.Rewrites[0].Passes[0].Options!.Split('=')[1]));
        Assert.Throws<HaloException>(() => Ledger.Parse("{}"));
        Assert.Throws<HaloException>(() => Ledger.Parse("not JSON"));
        Assert.Empty(Ledger.Of(GraphParser.Parse(Doubling, HaloOperators.Catalogue)).Rewrites);
    }

    /// <summary>Changes the factor of the graph, and claims what it likes about that.</summary>
    private sealed record Scale(float Factor) : IGraphPass
    {
        public string Name => "scale";

        public required ValueEffect Effect { get; init; }

        public PassResult Run(Model model, PassContext context)
        {
            model.Graph.Nodes.First().ReplaceInput(1, model.Graph.AddInitializer(model.Graph.FreeName("factor"), Tensor.Scalar(Factor)));
            return new PassResult(1);
        }
    }

    private sealed class Knot : IGraphPass
    {
        public string Name => "knot";

        public ValueEffect Effect => new ValueEffect.Exact();

        public PassResult Run(Model model, PassContext context)
        {
            var nodes = model.Graph.Nodes.ToList();
            nodes[0].ReplaceInput(0, nodes[1].Output);
            return new PassResult(1);
        }
    }
}
