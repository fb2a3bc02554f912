using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes;

/// <summary>One linear layer with its three products written out: Y = X W^T, dX = E W, grad.W = E^T X.</summary>
public static class RandomLinearLayer
{
    /// <summary>The forms exporters write a layer in.</summary>
    public enum Form
    {
        /// <summary>Transpose and MatMul on matrices, as PyTorch's joint graphs have it.</summary>
        MatMul,

        /// <summary>Gemm with transpose flags and a bias, as layers with biases are exported.</summary>
        GemmWithBias,

        /// <summary>X and E with a batch axis; grad.W is a batched product summed over it.</summary>
        Batched,

        /// <summary>grad.W as the transpose of X^T E.</summary>
        FlippedGradient,
    }

    public static Model Build(Form form, long tokens, long inFeatures, long outFeatures)
    {
        var model = new Model(new Graph("layer"), HaloOperators.Catalogue) { Opsets = { [""] = 21 } };
        var graph = model.Graph;
        long[] batch = form == Form.Batched ? [2, tokens / 2] : [tokens];
        var x = graph.AddInput(new Value("X", ElementType.Float, Shape.Of([.. batch, inFeatures])));
        var w = graph.AddInput(new Value("W", ElementType.Float, Shape.Of(outFeatures, inFeatures)));
        var e = graph.AddInput(new Value("E", ElementType.Float, Shape.Of([.. batch, outFeatures])));
        var norm = graph.AddInput(new Value("norm", ElementType.Float, Shape.Of(outFeatures)));
        var build = GraphBuilder.AtEnd(graph);
        Value y, dx, gradient;
        if (form == Form.GemmWithBias)
        {
            var bias = graph.AddInput(new Value("bias", ElementType.Float, Shape.Of(outFeatures)));
            y = build.Op("Y", "Gemm", [x, w, bias], Attribute.Of("transB", 1L));
            dx = build.Op("dX", "Gemm", [e, w]);
            gradient = build.Op("grad.W", "Gemm", [e, x], Attribute.Of("transA", 1L));
        }
        else
        {
            Value Transposed(string name, Value v) =>
                build.Op(name, "Transpose", [v], Attribute.Of("perm", v.Shape!.Rank == 3 ? new long[] { 0, 2, 1 } : [1, 0]));
            var wt = Transposed("Wt", w);
            y = build.Op("Y", "MatMul", [x, wt]);
            dx = build.Op("dX", "MatMul", [e, Transposed("Wtt", wt)]);
            if (form == Form.FlippedGradient)
                gradient = Transposed("grad.W", build.Op("flipped", "MatMul", [Transposed("Xt", x), e]));
            else
                gradient = build.Op(form == Form.Batched ? "batches" : "grad.W", "MatMul", [Transposed("Et", e), x]);
            if (form == Form.Batched)
                gradient = build.Op("grad.W", "ReduceSum", [gradient, build.Constant("axis", Tensor.Int64s(0))], Attribute.Of("keepdims", 0L));
        }
        var loss = build.Op("loss", "ReduceSum", [build.Op("scaled", "Mul", [y, norm])], Attribute.Of("keepdims", 0L));
        foreach (var output in new[] { loss, y, dx, gradient })
            graph.AddOutput(output);
        return model;
    }

    /// <summary>Normal values with a channel of X and a token of E scaled up.</summary>
    public static Dictionary<string, Tensor> Inputs(Model model, int seed, float channelOutlier = 1, float tokenOutlier = 1)
    {
        var random = new Random(seed);
        var result = new Dictionary<string, Tensor>();
        foreach (var input in model.Graph.Inputs)
        {
            var sizes = input.Shape!.Sizes;
            var values = new float[input.Shape.ElementCount!.Value];
            var columns = sizes[^1];
            for (var i = 0; i < values.Length; i++)
            {
                var normal = random.NextNormal();
                var scale = input.Name == "X" && i % columns == columns / 3 ? channelOutlier
                    : input.Name == "E" && i / columns == values.Length / columns / 2 ? tokenOutlier : 1;
                values[i] = (float)(normal * scale);
            }
            result[input.Name] = Tensor.Floats(sizes, values);
        }
        return result;
    }
}
