using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Export;
using Halo.Passes.Infra;
using Halo.Tests.Models;
using Halo.Tests.Numerics;

namespace Halo.Tests.Passes.Inference;

/// <summary>The inference graph answers as PyTorch does, with its cache and without, whatever graph it comes from.</summary>
public class InferencePipelineTests
{
    private const int Positions = 64;

    public static TheoryData<string, string> Graphs => Origins.All;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Llama_tiny_continues_prompts_as_in_PyTorch(bool cached)
    {
        using var decoder = Decoder(Origins.LlamaTiny, Origins.Built, FloatPrecision.Fp32);
        foreach (var c in Fixture.Json("generate-cases.json").EnumerateArray())
        {
            long[] prompt = [.. Fixture.Ints(c.GetProperty("prompt_ids"))];
            var expected = Fixture.Ints(c.GetProperty("greedy_ids")).Select(i => (long)i);
            Assert.Equal(expected, decoder.Greedy(prompt, expected.Count(), cached));
            decoder.Clear();
            var next = decoder.Run([prompt])[0][^1];
            var best = c.GetProperty("next_top5").EnumerateArray().Select(t => (Id: t[0].GetInt32(), Logit: t[1].GetSingle())).ToList();
            Assert.Equal(best.Select(t => t.Id), next.Index().OrderByDescending(l => l.Item).Take(5).Select(l => l.Index));
            Assert.All(best, t => Assert.Equal(t.Logit, next[t.Id], (float)Tolerances.Logits));
        }
    }

    [Fact]
    public void Half_precision_finds_the_same_next_token()
    {
        var model = Made(Origins.LlamaTiny, Origins.Built, FloatPrecision.Fp16);
        Assert.All(model.Graph.Values.Values.Where(v => v.Type.IsFloat() && v.Name != "logits"), v => Assert.Equal(ElementType.Float16, v.Type));
        Assert.Equal(ElementType.Float, model.Graph.Outputs[0].Type);
        using var decoder = new CachedDecoder(model, Origins.Checkpoint(Origins.LlamaTiny));
        foreach (var c in Fixture.Json("generate-cases.json").EnumerateArray())
        {
            decoder.Clear();
            var next = decoder.Run([[.. Fixture.Ints(c.GetProperty("prompt_ids")).Select(i => (long)i)]])[0][^1];
            Assert.Equal(c.GetProperty("next_top5")[0][0].GetInt32(), next.Index().MaxBy(l => l.Item).Index);
        }
    }

    /// <summary>A prompt at once; token by token; a part, then the rest; rows of different lengths, each as it is alone.</summary>
    [Theory]
    [MemberData(nameof(Graphs))]
    public void However_tokens_come_logits_are_the_same(string name, string origin)
    {
        using var decoder = Decoder(name, origin, FloatPrecision.Fp32);
        var random = new Random(11);
        long[] Tokens(int count) => [.. Enumerable.Range(0, count).Select(_ => (long)random.Next(Origins.Config(name).VocabularySize))];
        long[][] rows = [Tokens(19), Tokens(11), Tokens(30)];
        var alone = rows.Select(row =>
        {
            decoder.Clear();
            return decoder.Run([row])[0];
        }).ToArray();

        foreach (var lengths in new int[][] { [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [7, 1, 11], [12, 7] })
        {
            decoder.Clear();
            var at = 0;
            foreach (var length in lengths)
            {
                Close(alone[0][at..(at + length)], decoder.Run([rows[0][at..(at + length)]])[0]);
                at += length;
            }
        }

        // Prompts of 16, 8 and 27 tokens, padded on the right, then three tokens one by one.
        decoder.Clear();
        int[] prompts = [16, 8, 27];
        var padded = rows.Zip(prompts, (row, length) => row[..length].Concat(Enumerable.Repeat(0L, 27 - length)).ToArray()).ToArray();
        foreach (var (r, found) in decoder.Run(padded, [.. prompts.Select(l => (long)l)]).Index())
            Close(alone[r][..prompts[r]], found[..prompts[r]]);
        for (var step = 0; step < 3; step++)
        {
            var found = decoder.Run([.. rows.Zip(prompts, (row, length) => new[] { row[length + step] })], [.. prompts.Select(l => (long)(l + step + 1))]);
            Assert.All(rows.Index(), r => Close([alone[r.Index][prompts[r.Index] + step]], found[r.Index]));
        }
    }

    /// <summary>What ONNX Runtime does not do is an error, not a wrong answer.</summary>
    [Fact]
    public void Several_tokens_behind_a_past_of_several_rows()
    {
        using var decoder = Decoder("llama2-mha", Origins.Built, FloatPrecision.Fp32);
        decoder.Run([[1, 2, 3, 4], [5, 6, 7, 8]]);
        var e = Assert.Throws<Microsoft.ML.OnnxRuntime.OnnxRuntimeException>(() => decoder.Run([[1, 2], [3, 4]]));
        Assert.Contains("batch_size must be 1", e.Message);
    }

    [Fact]
    public void A_graph_that_computes_in_bfloat16_gives_float32()
    {
        var model = Halo.Models.Llama.LlamaGraph.Build(Origins.Config("llama32-tied"), 2, 8, type: ElementType.BFloat16, parameterType: ElementType.Float);
        PassManager.Run(model, Pipelines.Inference(Positions), Origins.Options("llama32-tied"));
        Assert.DoesNotContain(model.Graph.Values.Values, v => v.Type == ElementType.BFloat16);
        using var decoder = new CachedDecoder(model, Origins.Checkpoint("llama32-tied"));
        using var expected = Decoder("llama32-tied", Origins.Built, FloatPrecision.Fp32);
        Close(expected.Run([[1, 2, 3, 4, 5]])[0], decoder.Run([[1, 2, 3, 4, 5]])[0]);
    }

    [Theory]
    [MemberData(nameof(Graphs))]
    public void Its_form_is_that_of_stock_ONNX_Runtime(string name, string origin)
    {
        var model = Made(name, origin, FloatPrecision.Fp32);
        var config = Origins.Config(name);
        Assert.DoesNotContain(model.Graph.Nodes, n => n.Domain == HaloDomain.Name);
        Assert.Empty(model.Functions);
        Assert.Equal(config.Layers, model.Graph.Nodes.Count(n => n.Is("GroupQueryAttention", "com.microsoft")));
        Assert.Equal((2 * config.Layers) + 1, model.Graph.Nodes.Count(n => n.Is("SimplifiedLayerNormalization")));
        Assert.Equal((7 * config.Layers) + 1, model.Graph.Nodes.Count(n => n.Is("Gemm") && n.Int("transB", 0) == 1 && n.Inputs[1]!.IsGraphInput));
        Assert.DoesNotContain(model.Graph.Nodes, n => n.OpType is "Transpose" or "MatMul" or "Cos");
        Assert.Equal($"%logits: float[batch_size, sequence_length, {config.VocabularySize}]", model.Graph.Outputs[0].ToString());
        Assert.Equal((2 * config.Layers) + 1, model.Graph.Outputs.Count);
        Assert.Equal($"%present.1.key: float[batch_size, {config.KeyValueHeads}, total_sequence_length, {config.HeadDim}]", model.Graph.Outputs[3].ToString());
        var inputs = model.Graph.Inputs.ToDictionary(i => i.Name, i => i.ToString());
        Assert.Equal("%attention_mask: int64[batch_size, total_sequence_length]", inputs["attention_mask"]);
        Assert.Equal($"%past_key_values.0.value: float[batch_size, {config.KeyValueHeads}, past_sequence_length, {config.HeadDim}]",
            inputs["past_key_values.0.value"]);
        Assert.DoesNotContain("labels", inputs.Keys);
        foreach (var pass in (IGraphPass[])[new TakeLogits(), new FreeShapes(), new CacheAttention(Positions), new LowerHaloOperators()])
            Assert.Equal(0, PassManager.Run(model, [pass], Origins.Options(name)).Passes.Single().Rewrites);
    }


    private static Model Made(string name, string origin, FloatPrecision precision)
    {
        var model = Origins.Graph(name, origin, 3, 24);
        PassManager.Run(model, Pipelines.Inference(Positions, precision), Origins.Options(name));
        return model;
    }

    private static CachedDecoder Decoder(string name, string origin, FloatPrecision precision) =>
        new(Made(name, origin, precision), Origins.Checkpoint(name));

    private static void Close(float[][] expected, float[][] found) =>
        Assert.InRange(RelativeError.Of(found.SelectMany(f => f).ToArray(), expected.SelectMany(e => e).ToArray()), 0, Tolerances.OtherOperators);
}
