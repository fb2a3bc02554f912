using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;
using Halo.Text;

namespace Halo.Tests.Passes;

/// <summary>Linear layers with nothing between them, as the two factors of a weight of low rank: one product reads the other.</summary>
public class ChainedLayersTests
{
    private static readonly OnnxEvaluator Evaluator = new();

    [Theory]
    [InlineData("canonicalize", 1e-6)]
    [InlineData("build-gradient,rotate-operands{scheme=halo-2}", 1e-5)]
    [InlineData("build-gradient,rotate-operands{scheme=halo-1},quantize-operands{format=int8}", 0.1)]
    [InlineData("canonicalize,build-gradient,rotate-operands{scheme=halo-2},quantize-operands{format=int8}", 0.1)]
    public void They_are_rewritten_as_any_others(string passes, double bound)
    {
        var (plain, rewritten) = (Factors(), Factors());
        if (passes.Contains("gradient", StringComparison.Ordinal))
            PassManager.Run(plain, Pipelines.Parse("build-gradient"), new PassOptions { Evaluator = Evaluator });
        PassManager.Run(rewritten, Pipelines.Parse(passes), new PassOptions { Evaluator = Evaluator });
        Assert.Contains(rewritten.Graph.Nodes, n => n.Is("Gemm") || n.Is("ScaledMatMul", HaloDomain.Name));
        var random = new Random(5);
        var inputs = plain.Graph.Inputs.ToDictionary(i => i.Name, i => Tensor.Floats([.. i.Shape!.Sizes],
            [.. Enumerable.Range(0, (int)i.Shape.ElementCount!.Value).Select(_ => (float)(0.3 * random.NextNormal()))]));
        var expected = plain.Graph.Outputs.Select(o => o.Name).Zip(Evaluator.Evaluate(plain, inputs)).ToDictionary();
        foreach (var (output, found) in rewritten.Graph.Outputs.Zip(Evaluator.Evaluate(rewritten, inputs)))
            Assert.True(RelativeError.Of(found, expected[output.Name]) <= bound, $"{output.Name}: {RelativeError.Of(found, expected[output.Name]):E2}");
    }

    /// <summary>A product that is an output of its own stays when a sum with its bias becomes the layer's output, and keeps its value.</summary>
    [Fact]
    public void A_product_and_its_sum_can_both_be_outputs()
    {
        const string Text = """
            ir_version: 10, opset: {"": 23}
            graph g(x: float[2, 4, 16], w: float[8, 16], head: float[6, 8]) -> (y: float[2, 4, 8], z: float[2, 4, 8], o: float[2, 4, 6]) {
              initializers { b: float[8] = {1, 2, 3, 4, 5, 6, 7, 8} }
              t: float[16, 8] = Transpose<perm = [1, 0]>(w)
              y: float[2, 4, 8] = MatMul(x, t)
              z: float[2, 4, 8] = Add(y, b)
              r: float[2, 4, 8] = Relu(z)
              u: float[8, 6] = Transpose<perm = [1, 0]>(head)
              o: float[2, 4, 6] = MatMul(r, u)
            }
            """;
        var (plain, rewritten) = (GraphParser.Parse(Text, HaloOperators.Catalogue), GraphParser.Parse(Text, HaloOperators.Catalogue));
        PassManager.Run(rewritten, Pipelines.Parse("canonicalize,rotate-operands{scheme=halo-2}"), new PassOptions { Evaluator = Evaluator });
        Assert.Equal(["y", "z", "o"], rewritten.Graph.Outputs.Select(o => o.Name));
        var random = new Random(5);
        var inputs = plain.Graph.Inputs.ToDictionary(i => i.Name, i => Tensor.Floats([.. i.Shape!.Sizes],
            [.. Enumerable.Range(0, (int)i.Shape.ElementCount!.Value).Select(_ => (float)random.NextNormal())]));
        foreach (var (found, expected) in Evaluator.Evaluate(rewritten, inputs).Zip(Evaluator.Evaluate(plain, inputs)))
            Assert.True(RelativeError.Of(found, expected) <= 1e-6);
    }

    private static Model Factors() => GraphParser.Parse("""
        ir_version: 10, opset: {"": 23}
        graph g(down.weight: float[8, 16], up.weight: float[24, 8], head.weight: float[6, 24], c: float[2, 4, 6]) -> (loss: float[]) {
          initializers { x: float[2, 4, 16] = splat 0.5  ramp: float[4, 1] = {1, -2, 0.5, 3} }
          rows: float[2, 4, 16] = Mul(x, ramp)
          d: float[16, 8] = Transpose<perm = [1, 0]>(down.weight)
          u: float[8, 24] = Transpose<perm = [1, 0]>(up.weight)
          o: float[24, 6] = Transpose<perm = [1, 0]>(head.weight)
          h: float[2, 4, 8] = MatMul(rows, d)  # down
          y: float[2, 4, 24] = MatMul(h, u)  # up
          z: float[2, 4, 6] = MatMul(y, o)  # head
          l: float[2, 4, 6] = Mul(z, c)
          t: float[2, 4, 6] = Mul(l, l)
          loss: float[] = ReduceSum<keepdims = 0>(t)
        }
        """, HaloOperators.Catalogue);
}
