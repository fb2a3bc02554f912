using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Sharding;

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
}
