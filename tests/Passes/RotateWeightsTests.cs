using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Export;
using Halo.Passes.Export.Weights;
using Halo.Passes.Infra;
using Halo.Serialization;
using Halo.Tests.Numerics;
using Halo.Tests.Passes.Weights;

namespace Halo.Tests.Passes;

public class RotateWeightsTests
{
    public static TheoryData<string> Models => HeldModels.All;

    [Theory]
    [MemberData(nameof(Models))]
    public void Folding_leaves_the_logits_and_gains_of_ones(string name)
    {
        var model = HeldModels.Read(name);
        var expected = HeldModels.Logits(model);
        HeldModels.Run(model, "fold-norms");
        Assert.All(model.Graph.Nodes.Where(NormNodes.Is), n => Assert.False(NormNodes.Gain(n)!.AsSpan().ContainsAnyExcept(1f)));
        Assert.True(RelativeError.Of(HeldModels.Logits(model), expected) < Tolerances.OtherOperators);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Turning_leaves_the_logits(string name)
    {
        var expected = HeldModels.Logits(HeldModels.Read(name));
        foreach (var options in new[] { "", "{seed=7}", "{online=true}" })
        {
            var model = HeldModels.Read(name);
            HeldModels.Run(model, "fold-norms,rotate-weights" + options);
            var error = RelativeError.Of(HeldModels.Logits(model), expected);
            Assert.True(error is > 0 and < Tolerances.RotatedTwice, $"{options}: {error:E2}");
            var layers = model.Graph.Nodes.Count(AttentionPair.IsAttention);
            Assert.Equal(options.Contains("online", StringComparison.Ordinal) ? layers : 0,
                model.Graph.Nodes.Count(n => n.Is(nameof(HadamardTransform), HaloDomain.Name)));
        }
    }

    /// <summary>Each weight is what the definition says, by dense matrices in float64, in a model whose sizes have several blocks.</summary>
    [Fact]
    public void Weights_are_those_of_the_definition()
    {
        const string Layer = "model.layers.0.";
        var plain = HeldModels.Read("llama2-mha");
        HeldModels.Run(plain, "fold-norms");
        var turned = HeldModels.Read("llama2-mha");
        HeldModels.Run(turned, "fold-norms,rotate-weights{seed=2 online=true}");
        var hidden = (int)plain.Graph.Values["model.norm.weight"].Initializer!.Sizes[0];
        var q = Signed(Hadamard.Dense(Hadamard.Blocks(hidden)), HadamardRotation.Signs(2, hidden));
        var size = plain.Graph.Nodes.First(AttentionPair.IsAttention).Inputs[2]!.Shape![-1].Size!.Value;
        var heads = Hadamard.Dense([.. Enumerable.Repeat(size, (int)(hidden / size))]);

        Check("model.embed_tokens.weight", w => Product(w, q));
        Check("lm_head.weight", w => Product(w, q));
        Check(Layer + "self_attn.q_proj.weight", w => Product(w, q));
        Check(Layer + "mlp.up_proj.weight", w => Product(w, q));
        Check(Layer + "self_attn.v_proj.weight", w => Product(Transposed(heads), Product(w, q)));
        Check(Layer + "self_attn.o_proj.weight", w => Product(Transposed(q), Product(w, heads)));
        Check(Layer + "mlp.down_proj.weight", w => Product(Transposed(q), Product(w, Hadamard.Dense(Hadamard.Blocks(w.GetLength(1))))));

        void Check(string name, Func<double[,], double[,]> definition)
        {
            var weight = plain.Graph.Values[name].Initializer!;
            var expected = definition(Matrix(weight)).Cast<double>().Select(v => (float)v).ToArray();
            Assert.True(RelativeError.Of(turned.Graph.Values[name].Initializer!.ToArray<float>(), expected) < Tolerances.OneOperator, name);
        }
    }

    [Fact]
    public void A_graph_read_from_its_file_is_not_turned_twice()
    {
        var model = HeldModels.Read("llama32-tied");
        HeldModels.Run(model, "fold-norms,rotate-weights");
        using var folder = new TemporaryFolder();
        OnnxWriter.Write(model, folder["m.onnx"], externalData: true);
        var read = OnnxReader.Read(folder["m.onnx"], HaloOperators.Catalogue);
        var run = PassManager.Run(read, [new FoldNorms(), new RotateWeights(Seed: 1)], new PassOptions());
        Assert.All(run.Passes, p => Assert.Equal(0, p.Rewrites));
        Assert.Equal(HeldModels.Logits(model), HeldModels.Logits(read));
    }

    [Fact]
    public void Gains_that_are_not_folded_are_refused()
    {
        var error = Assert.Throws<PassException>(() => HeldModels.Run(HeldModels.Read("llama-tiny"), "rotate-weights"));
        Assert.Contains("expected a gain of ones", error.Message, StringComparison.Ordinal);
        Assert.Contains("Run fold-norms first.", error.Message, StringComparison.Ordinal);
    }

    private static double[,] Matrix(Tensor tensor)
    {
        var values = tensor.ToArray<float>();
        var result = new double[tensor.Sizes[0], tensor.Sizes[1]];
        for (var i = 0; i < values.Length; i++)
            result[i / tensor.Sizes[1], i % tensor.Sizes[1]] = values[i];
        return result;
    }

    private static double[,] Signed(double[,] h, float[] signs) => Fill(signs.Length, signs.Length, (i, j) => signs[i] * h[i, j]);

    private static double[,] Transposed(double[,] a) => Fill(a.GetLength(1), a.GetLength(0), (i, j) => a[j, i]);

    private static double[,] Product(double[,] a, double[,] b) => Fill(a.GetLength(0), b.GetLength(1), (i, j) =>
    {
        var sum = 0.0;
        for (var k = 0; k < a.GetLength(1); k++)
            sum += a[i, k] * b[k, j];
        return sum;
    });

    private static double[,] Fill(int rows, int columns, Func<int, int, double> at)
    {
        var result = new double[rows, columns];
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
                result[i, j] = at(i, j);
        }
        return result;
    }
}
