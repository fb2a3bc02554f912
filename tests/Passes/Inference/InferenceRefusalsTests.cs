using Halo.Ir;
using Halo.Models.Llama;
using Halo.Passes.Canonical;
using Halo.Passes.Export;
using Halo.Passes.Infra;

namespace Halo.Tests.Passes.Inference;

/// <summary>What cannot become an inference graph says what is wrong and what to do.</summary>
public class InferenceRefusalsTests
{
    private const string Name = "llama2-mha";

    [Fact]
    public void A_rewritten_graph() => Refused(Built("fold-constants,quantize-operands{format=fp8}"), Pipelines.Inference(64), Origins.Options(Name),
        "take-logits: ", "(com.halo.Quantize, forward)", "Start from the graph before the rewrite");

    [Fact]
    public void Tables_of_another_model()
    {
        var other = Origins.Config(Name) with { RopeTheta = 20000 };
        Refused(Built(), Pipelines.Inference(64), Origins.Options(Name) with { RotaryTables = n => RotaryTables.Of(other, n) },
            "cache-attention: 'model.layers.0.self_attn.q_proj/rotary' (com.halo.RotaryEmbedding, forward): expected ", "at position 1", "rope_theta");
    }

    [Fact]
    public void No_tables() => Refused(Built(), Pipelines.Inference(64), Origins.Options(Name) with { RotaryTables = null },
        "expected the model's rotary tables for 64 positions, found none beside the 24 rows of the graph");

    [Fact]
    public void Packed_documents() => Refused(LlamaGraph.Build(Origins.Config(Name), 2, 8, packed: true), Pipelines.Inference(64), Origins.Options(Name),
        "cache-attention: 'model.layers.0.self_attn/attention' (com.halo.Attention, forward): expected one document a row, found document_ids");

    [Fact]
    public void Fixed_sizes() => Refused(Built(), [new CacheAttention(64)], Origins.Options(Name),
        "cache-attention: input 'input_ids': expected free sizes, batch and sequence, found [3, 24]. Run free-shapes first.");

    [Fact]
    public void A_loss_of_free_sizes() => Refused(Built(), [new FreeShapes()], Origins.Options(Name),
        "free-shapes: 'labels/tail' (Slice, forward)", "Run take-logits and canonicalize first");

    [Theory]
    [InlineData("", "(com.halo.RotaryEmbedding, forward)", "Run cache-attention first.")]
    [InlineData("remove-dead-code", "(com.halo.CrossEntropy, forward)", "Run take-logits first.")]
    public void What_an_inference_graph_does_not_have(string passes, string node, string advice)
    {
        var model = Built(passes.Length > 0 ? passes : "take-logits");
        foreach (var other in model.Graph.Nodes.Where(n => passes.Length > 0 && n.OpType is "RotaryEmbedding" or "Attention").ToList())
        {
            other.Output.ReplaceUsesWith(other.Inputs[0]!);
            model.Graph.Remove(other);
        }
        Refused(model, [new LowerHaloOperators()], Origins.Options(Name), "standardize: ", node, advice);
    }

    private static Model Built(string passes = "")
    {
        var model = Origins.Graph(Name, Origins.Built, 3, 24);
        PassManager.Run(model, Pipelines.Parse(passes), Origins.Options(Name));
        return model;
    }

    private static void Refused(Model model, IReadOnlyList<IGraphPass> passes, PassOptions options, params string[] parts)
    {
        var e = Assert.Throws<PassException>(() => PassManager.Run(model, passes, options));
        Assert.All(parts, p => Assert.Contains(p, e.Message, StringComparison.Ordinal));
    }
}
