using System.Text.RegularExpressions;
using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export;
using Halo.Passes.Infra;
using Halo.Runner.Sessions;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Inference;

/// <summary>A graph whose sizes were freed gives at any size what a graph of that size gives.</summary>
public class FreeShapesTests
{
    private const string Freed = "upgrade-opset,repair,remove-dead-code,fold-splats,fold-constants,deduplicate,take-logits,canonicalize,free-shapes";

    public static TheoryData<string, string> Graphs => Origins.All;

    [Theory]
    [MemberData(nameof(Graphs))]
    public void At_other_sizes_it_gives_what_a_graph_of_that_size_gives(string name, string origin)
    {
        var free = Origins.Graph(name, origin, 3, 24);
        PassManager.Run(free, Pipelines.Parse(Freed), Origins.Options(name));
        foreach (var (batch, sequence) in new[] { (5, 7), (1, 24) })
        {
            var other = origin is Origins.Rederived or "training.onnx" ? Origins.Built : origin;
            var plain = Origins.Graph(name, other, batch, sequence);
            PassManager.Run(plain, Pipelines.Parse("upgrade-opset,repair,fold-constants,take-logits"), Origins.Options(name));
            var inputs = Inputs(name, free, batch, sequence);
            var (found, expected) = (new OnnxEvaluator().Evaluate(free, inputs)[0], new OnnxEvaluator().Evaluate(plain, inputs)[0]);
            Assert.Equal(expected.Sizes, found.Sizes);
            Assert.InRange(RelativeError.Of(found, expected), 0, Tolerances.FewSums);
        }
    }

    /// <summary>llama2-mha has 64 channels, 4 heads and 16 channels a head.</summary>
    [Theory]
    [InlineData(4, 16)]
    [InlineData(4, 4)]
    [InlineData(1, 64)]
    [InlineData(16, 4)]
    [InlineData(2, 2)]
    public void Sizes_that_coincide_stay_apart(int batch, int sequence)
    {
        var free = Origins.Graph("llama2-mha", Origins.Built, batch, sequence);
        var expected = Origins.Graph("llama2-mha", Origins.Built, 3, 24);
        PassManager.Run(free, Pipelines.Parse(Freed), Origins.Options("llama2-mha"));
        PassManager.Run(expected, Pipelines.Parse(Freed), Origins.Options("llama2-mha"));
        static string Text(Model model) => Regex.Replace(Halo.Text.GraphPrinter.Print(model), "rotary_(cos|sin): .*", "");
        Assert.Equal(Text(expected), Text(free));
    }

    [Fact]
    public void A_size_in_disguise_is_refused()
    {
        var model = Halo.Text.GraphParser.Parse("""
            ir_version: 10, opset: {"": 21}
            graph g(embed: float[8, 4], positions: float[3, 4], input_ids: int64[2, 3]) -> (y: float[2, 3, 4]) {
              x: float[2, 3, 4] = Gather(embed, input_ids)
              y: float[2, 3, 4] = Add(x, positions)  # place
            }
            """, HaloOperators.Catalogue);
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, [new FreeShapes()], new PassOptions()));
        Assert.StartsWith("free-shapes: 'place' (Add, forward): expected an operator that does with batch and sequence what a canonical", e.Message);
    }

    [Theory]
    [MemberData(nameof(Graphs))]
    public void Inference_alone_gives_every_shape_with_symbols(string name, string origin)
    {
        var model = Origins.Graph(name, origin, 3, 24);
        PassManager.Run(model, Pipelines.Parse(Freed), Origins.Options(name));
        var shapes = model.Graph.Values.Values.ToDictionary(v => v, v => v.Shape);
        foreach (var output in model.Graph.Nodes.SelectMany(n => n.Outputs))
            output.Shape = null;
        ShapeInference.Run(model.Graph);
        Assert.All(shapes, s => Assert.Equal(s.Value, s.Key.Shape));
        Assert.Equal("[batch_size, sequence_length, " + Origins.Config(name).VocabularySize + "]", model.Graph.Outputs.Single().Shape!.ToString());
        Assert.Equal(0, PassManager.Run(model, [new FreeShapes()], new PassOptions()).Passes.Single().Rewrites);
    }

    private static Dictionary<string, Tensor> Inputs(string name, Model model, int batch, int sequence)
    {
        var random = new Random(7);
        var vocabulary = Origins.Config(name).VocabularySize;
        var inputs = Origins.Checkpoint(name).ToDictionary(t => t.Key, t => ConvertedBytes.Convert(t.Value, ElementType.Float));
        inputs["input_ids"] = Longs(_ => random.Next(vocabulary));
        inputs["attention_mask"] = Longs(i => i % sequence < sequence - (i / sequence) ? 1 : 0);
        return inputs.Where(i => model.Graph.Inputs.Any(v => v.Name == i.Key)).ToDictionary();

        Tensor Longs(Func<int, long> element) =>
            Tensor.Of<long>(ElementType.Int64, [batch, sequence], [.. Enumerable.Range(0, batch * sequence).Select(element)]);
    }
}
