using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Tests.CustomOps;

public class ShapeRuleTests
{
    [Fact]
    public void Shapes_that_contradict_each_other_are_refused()
    {
        Refused("rms-norm", "weight [8]", (m, b) => b.RmsNorm(Floats(m, 4, 8), Floats(m, 4), 1e-5f, "y"));
        Refused("rms-norm", "X (..., C)", (m, b) => b.RmsNorm(Floats(m), Floats(m, 1), 1e-5f, "y"));
        Refused("rms-norm-grad", "dY [4, 8]", (m, b) => b.RmsNormGrad(Floats(m, 8, 4), Floats(m, 4, 8), Floats(m, 8), Floats(m, 4), "y"));
        Refused("rms-norm-grad", "weight [8]", (m, b) => b.RmsNormGrad(Floats(m, 4, 8), Floats(m, 4, 8), Floats(m, 1, 8), Floats(m, 4), "y"));
        Refused("rms-norm-grad", "invRms [4]", (m, b) => b.RmsNormGrad(Floats(m, 4, 8), Floats(m, 4, 8), Floats(m, 8), Floats(m, 4, 1), "y"));
        Refused("swi-glu", "up [4, 8]", (m, b) => b.SwiGlu(Floats(m, 4, 8), Floats(m, 8), "y"));
        Refused("swi-glu-grad", "dY [4, 8]", (m, b) => b.SwiGluGrad(Floats(m, 8), Floats(m, 4, 8), Floats(m, 4, 8), "y"));
        Refused("cross-entropy", "logits (N, V)", (m, b) => b.CrossEntropy(Floats(m, 2, 4, 8), Labels(m, 8), "y"));
        Refused("cross-entropy", "labels [4]", (m, b) => b.CrossEntropy(Floats(m, 4, 8), Labels(m, 8), "y"));
        Refused("cross-entropy-grad", "dLoss []", (m, b) => b.CrossEntropyGrad(Floats(m, 1), Floats(m, 4, 8), Labels(m, 4), Floats(m, 4), "y"));
        Refused("cross-entropy-grad", "logSumExp [4]", (m, b) => b.CrossEntropyGrad(Floats(m), Floats(m, 4, 8), Labels(m, 4), Floats(m, 8), "y"));
    }

    [Fact]
    public void Types_that_no_kernel_computes_with_are_refused()
    {
        Refused("rms-norm", "float, float16 or bfloat16, found int64", (m, b) => b.RmsNorm(Labels(m, 8), Labels(m, 8), 1e-5f, "y"));
        Refused("swi-glu", "float, float16 or bfloat16, found int64", (m, b) => b.SwiGlu(Labels(m, 8), Labels(m, 8), "y"));
    }

    [Fact]
    public void Sizes_that_are_not_known_fit()
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var x = model.Graph.AddInput(new Value("x", ElementType.BFloat16, new Shape([Dim.Named("batch"), Dim.Unknown, 8])));
        var weight = model.Graph.AddInput(new Value("weight", ElementType.BFloat16, new Shape([Dim.Unknown])));
        var (y, invRms) = GraphBuilder.AtEnd(model.Graph).RmsNorm(x, weight, 1e-5f, "norm");
        Assert.Equal("bfloat16[batch, ?, 8] float[batch, ?]", $"{y.Type.Name()}{y.Shape} {invRms.Type.Name()}{invRms.Shape}");
    }

    private static Value Floats(Model model, params long[] sizes) => Input(model, ElementType.Float, sizes);

    private static Value Labels(Model model, long size) => Input(model, ElementType.Int64, [size]);

    private static Value Input(Model model, ElementType type, long[] sizes) =>
        model.Graph.AddInput(new Value($"x{model.Graph.Inputs.Count}", type, Shape.Of(sizes)));

    private static void Refused<T>(string op, string expected, Func<Model, GraphBuilder, T> build)
    {
        var model = new Model(new Graph(), HaloOperators.Catalogue) { Opsets = { [""] = HaloDomain.MinOpset } };
        var message = Assert.Throws<HaloException>(() => build(model, GraphBuilder.AtEnd(model.Graph))).Message;
        Assert.StartsWith(op + ": ", message);
        Assert.Contains("expected " + expected, message);
    }
}
