using Halo.Analysis;
using Halo.Building;
using Halo.Ir;

namespace Halo.Tests.Passes;

/// <summary>A real joint graph whose q, k and v projections have biases and are Gemm nodes, the form in which Qwen2 is exported.</summary>
public static class BiasedExport
{
    /// <summary>Rewrites the three products of each q, k, v projection to Gemm; adds a bias input and its gradient, the column sums of E_Y.</summary>
    /// <returns>The names of the biases.</returns>
    public static IReadOnlyList<string> Make(Model model)
    {
        var graph = model.Graph;
        var layers = LinearGemms.In(graph).Layers.Where(l => l.Name.EndsWith("q_proj", StringComparison.Ordinal)
            || l.Name.EndsWith("k_proj", StringComparison.Ordinal) || l.Name.EndsWith("v_proj", StringComparison.Ordinal)).ToList();
        var axis = graph.AddInitializer("bias_axis", Tensor.Int64s(0));
        foreach (var layer in layers)
        {
            var bias = graph.AddInput(new Value($"{layer.Name}.bias", ElementType.Float, Shape.Of(layer.Weight.Shape![0].Size!.Value)));
            foreach (var gemm in layer.Gemms)
            {
                var build = GraphBuilder.Before(gemm.Node, $"{layer.Name}/{gemm.Role}/exported");
                Value?[] inputs = gemm.Role == GemmRole.F ? [gemm.A.Matrix, gemm.B.Matrix, bias] : [gemm.A.Matrix, gemm.B.Matrix];
                var product = build.Op("gemm", "Gemm", inputs, Attribute.Of("transA", gemm.A.IsTransposed ? 1L : 0L),
                    Attribute.Of("transB", gemm.B.IsTransposed ? 1L : 0L));
                gemm.Output.ReplaceUsesWith(product);
                if (gemm.Output.IsGraphOutput)
                    graph.ReplaceOutput(gemm.Output, product);
                if (gemm.Role == GemmRole.G)
                {
                    var sum = build.Op("bias_gradient", "ReduceSum", [gemm.A.Matrix, axis], Attribute.Of("keepdims", 0L));
                    graph.Rename(sum, TrainingNames.GradientOf(bias.Name));
                    graph.AddOutput(sum);
                }
                graph.Remove(gemm.Node);
            }
        }
        graph.SortTopologically();
        return [.. layers.Select(l => $"{l.Name}.bias")];
    }
}
