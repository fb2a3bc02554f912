using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Passes.Sharding;
using Halo.Runner.Sessions;

namespace Halo.Tests.Passes;

/// <summary>What <see cref="Shard"/> makes of a gradient; what ranks compute with it is held by the tests of ranks.</summary>
public class ShardTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_rank_s_weight_goes_into_the_scale_of_a_product_of_codes_that_nothing_else_reads(bool isRead)
    {
        var model = new Model(new Graph("training"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var build = GraphBuilder.AtEnd(model.Graph);
        Value Input(string name, ElementType type, params long[] sizes) => model.Graph.AddInput(new Value(name, type, Shape.Of(sizes)));
        var gradient = build.ScaledMatMul(Input("dy", ElementType.Float8E4M3FN, 4, 2), Input("dy.scale", ElementType.Float),
            Input("x", ElementType.Float8E4M3FN, 4, 3), Input("x.scale", ElementType.Float), transA: true, transB: false, TrainingNames.GradientOf("w"));
        model.Graph.AddOutput(gradient);
        if (isRead)
            model.Graph.AddOutput(build.Op("norm", "ReduceSumSquare", [gradient], Attribute.Of("keepdims", 0L)));

        PassManager.Run(model, [new Shard(ShardMode.None, Ranks: 2)], new PassOptions());

        var product = Assert.Single(model.Graph.Nodes, n => n.Is(nameof(ScaledMatMul), HaloDomain.Name));
        var start = Assert.Single(model.Graph.Nodes, n => n.Is(nameof(AllReduceStart), HaloDomain.Name));
        var weighted = isRead ? start.Inputs[0]!.Producer! : product.Inputs[1]!.Producer!;
        Assert.Equal("Mul", weighted.OpType);
        Assert.Contains(weighted.Inputs, i => i!.Name == TrainingNames.GradientWeight);
        Assert.Equal(isRead ? "dy.scale" : weighted.Output.Name, product.Inputs[1]!.Name);
        Assert.Equal(isRead ? weighted.Output : product.Output, start.Inputs[0]);
    }

    /// <summary>Rounding 8 bits of 64 elements leaves a 254th of the largest; without feedback what is left of each update is lost, with it none is.</summary>
    [Theory]
    [InlineData(SentGradients.Int8)]
    [InlineData(SentGradients.Fp8)]
    public void What_is_sent_and_what_is_left_are_the_sum_of_gradients(SentGradients gradients)
    {
        const int Rows = 6, Width = 128, Updates = 5;
        var model = new Model(new Graph("training"), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var given = model.Graph.AddInput(new Value("given", ElementType.Float, Shape.Of(Rows, Width)));
        model.Graph.AddOutput(GraphBuilder.AtEnd(model.Graph).Op(TrainingNames.GradientOf("w"), "Identity", [given]));
        PassManager.Run(model, [new Shard(ShardMode.State, Ranks: 2, Gradients: gradients, Feedback: true)], new PassOptions());
        var graph = model.Graph;
        graph.RemoveOutput(graph.Outputs.Single(TrainingNames.IsGradient)); // what others send
        foreach (var name in new[] { "grad.w/rotated", "grad.w/sent" })
            graph.AddOutput(graph.Nodes.SelectMany(n => n.Outputs).Single(o => o.Name == name));
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());

        var random = new Random(0);
        var residual = new float[Rows * Width];
        var (sum, sent, lost) = (new double[residual.Length], new double[residual.Length], new double[residual.Length]);
        for (var update = 0; update < Updates; update++)
        {
            var outputs = graph.Outputs.Select(o => o.Name).Zip(new OnnxEvaluator().Evaluate(model, new Dictionary<string, Tensor>
            {
                ["given"] = Tensor.Floats([Rows, Width], [.. Enumerable.Range(0, residual.Length).Select(i => (float)(random.NextDouble() - 0.3))]),
                [TrainingNames.GradientWeight] = Tensor.Scalar(0.5f),
                [TrainingNames.ResidualPrefix + "w"] = Tensor.Floats([Rows, Width], residual),
            })).ToDictionary(o => o.First, o => o.Second.ToArray<float>());
            for (var i = 0; i < residual.Length; i++)
            {
                sum[i] += outputs["grad.w/rotated"][i];
                sent[i] += outputs["grad.w/sent"][i];
                lost[i] += outputs["grad.w/rotated"][i] - outputs["grad.w/sent"][i];
            }
            residual = outputs[TrainingNames.UpdatedResidualPrefix + "w"];
        }
        Assert.Contains(residual, r => r != 0);
        Assert.All(Enumerable.Range(0, residual.Length), i => Assert.Equal(sum[i], sent[i] + residual[i], 1e-5));
        Assert.Contains(lost, l => Math.Abs(l) > 1e-4);
    }

    [Theory]
    [InlineData(ShardMode.Full, SentGradients.Whole)]
    [InlineData(ShardMode.Hybrid, SentGradients.Int8)]
    public void Feedback_is_of_gradients_in_8_bits_that_are_summed_once(ShardMode mode, SentGradients gradients)
    {
        var model = new Model(new Graph("training"), HaloOperators.Catalogue);
        var problem = Assert.Throws<PassException>(() => new Shard(mode, 4, NodeRanks: 2, Gradients: gradients, Feedback: true).Requires(model));
        Assert.Contains("feedback", problem.Message, StringComparison.Ordinal);
    }
}
