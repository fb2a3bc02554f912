using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Bundled;
using Halo.Models.HuggingFace;
using Halo.Models.Llama;
using Halo.Models.Weights;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Tests.Numerics;

namespace Halo.Tests.Models.Llama;

public class LlamaGraphTests
{
    public static TheoryData<string> Exports => ExportFixture.All;

    /// <summary>Everything that a LLaMA's config can switch on but the tied embedding, which an export has.</summary>
    private static readonly DecoderConfig Odd = new()
    {
        HiddenSize = 20,
        IntermediateSize = 14,
        Layers = 2,
        Heads = 6,
        KeyValueHeads = 3,
        HeadDim = 4,
        VocabularySize = 23,
        MaxPositions = 16,
        RopeTheta = 100,
        RmsNormEpsilon = 1e-3,
        DType = ElementType.Float,
        AttentionBias = true,
        MlpBias = true,
        RopeScaling = new RopeScaling("linear", 2.5, 0, 0, 0),
    };

    [Theory]
    [MemberData(nameof(Exports))]
    public void Loss_and_logits_of_a_checkpoint_are_PyTorchs(string name)
    {
        using var expected = SafetensorsFile.Open(ExportFixture.File(name, "expected.safetensors"));
        using var checkpoint = CheckpointReader.Open(ExportFixture.Folder(name));
        var model = EvaluationGraph.Of(LlamaGraph.Build(DecoderConfig.Load(ExportFixture.Folder(name)), 3, 24));
        var outputs = new OnnxEvaluator().Evaluate(model, LlamaInputs.Of(model.Graph, checkpoint.Tensors, expected.Tensors));
        Assert.Equal(["loss", "logits"], model.Graph.Outputs.Select(o => o.Name));
        Assert.True(RelativeError.Of(outputs[0].ToArray<float>(), expected.ReadFloats("loss")) <= Tolerances.OneOperator);
        Assert.True(RelativeError.Of(outputs[1].ToArray<float>(), expected.ReadFloats("logits")) <= Tolerances.SameGraph);
    }

    [Theory]
    [MemberData(nameof(Exports))]
    public void Parameters_are_those_of_the_checkpoint_and_linear_layers_are_found(string name)
    {
        var config = DecoderConfig.Load(ExportFixture.Folder(name));
        using var checkpoint = CheckpointReader.Open(ExportFixture.Folder(name));
        Assert.Equal(checkpoint.Tensors.Values.Select(t => $"{t.Name} {Shape.Of([.. t.Shape])}").Order(StringComparer.Ordinal),
            LlamaParameters.Of(config).Select(p => $"{p.Name} {p.Shape}").Order(StringComparer.Ordinal));
        var graph = LlamaGraph.Build(config, 3, 24).Graph;
        var (layers, skipped) = LinearGemms.In(graph);
        Assert.Empty(skipped);
        Assert.Equal((7 * config.Layers) + 1, layers.Count);
        Assert.All(layers, l => Assert.Equal(GemmRole.F, Assert.Single(l.Gemms).Role));
        Assert.Equal(config.TieWordEmbeddings ? LlamaParameters.Embedding : LlamaParameters.Head, Assert.Single(layers, l => l.IsHead).Weight.Name);
        Assert.All(layers.SelectMany(l => l.Gemms), g => Assert.Equal(2, g.A.Matrix.Shape!.Rank));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Biases_stretched_frequencies_masks_and_packed_rows_are_those_of_the_plain_model(bool packed) => IsPlain(Odd, packed);

    public static TheoryData<string> Variants => [.. OddVariants.Keys];

    /// <summary>What families have, and what no fixture has: windows in some layers, rotated parts of heads, frequencies that follow the length.</summary>
    private static Dictionary<string, DecoderConfig> OddVariants => new()
    {
        ["norms of queries and keys, a window in one layer"] = Odd with { Family = Family("qwen3"), Windows = [0, 3] },
        ["biases of queries, keys and values"] = Odd with { Family = Family("qwen2"), AttentionBias = false, MlpBias = false, RopeScaling = null },
        ["norms of whole queries and keys, and of what is added"] = Odd with { Family = Family("olmo2"), MlpBias = false },
        ["one layer of two rotated, a window in the other"] = Odd with { Family = Family("smollm3"), Rotated = [false, true], Windows = [4, 0] },
        ["fused projections, rotated parts, longrope beyond"] = Odd with
        {
            Family = Family("phi3"),
            AttentionBias = false,
            MlpBias = false,
            HeadDim = 8,
            RotaryDim = 6,
            Windows = [4, 4],
            RopeScaling = new RopeScaling("longrope", 2, 0, 0, 8) { AttentionFactor = 1.3, ShortFactors = [1, 1.5, 2], LongFactors = [1, 3, 7] },
        },
        ["longrope within"] = Odd with
        {
            RopeScaling = new RopeScaling("longrope", 2, 0, 0, 11) { AttentionFactor = 1.2, ShortFactors = [1, 1.5], LongFactors = [1, 3] },
        },
        ["dynamic beyond"] = Odd with { HeadDim = 8, MaxPositions = 6, RopeScaling = new RopeScaling("dynamic", 2, 0, 0, 0) },
        ["dynamic within"] = Odd with { HeadDim = 8, RopeScaling = new RopeScaling("dynamic", 2, 0, 0, 0) },
    };

    [Theory]
    [MemberData(nameof(Variants))]
    public void What_a_family_has_is_that_of_the_plain_model(string variant) =>
        IsPlain(OddVariants[variant], packed: variant.Contains("window", StringComparison.Ordinal));

    private static DecoderFamily Family(string type) => DecoderFamily.All.Single(f => f.ModelType == type);

    private static void IsPlain(DecoderConfig config, bool packed)
    {
        var random = new Random(3);
        var model = LlamaGraph.Build(config, 2, 11, packed);
        var inputs = LlamaInputs.Random(model.Graph, config.VocabularySize, random);
        var weights = LlamaParameters.Of(config).ToDictionary(p => p.Name, p => Array.ConvertAll(inputs[p.Name].ToArray<float>(), x => (double)x));
        var columns = Array.ConvertAll(["input_ids", "attention_mask", "labels", "position_ids", "document_ids"],
            name => inputs.TryGetValue(name, out var tensor) ? tensor.ToInt64s() : null);
        var rows = Enumerable.Range(0, 22).Select(i => (columns[0]![i], columns[1]![i], columns[2]![i], columns[3]?[i] ?? i % 11, columns[4]?[i] ?? 0))
            .Chunk(11);
        var expected = new PlainLlama(config, weights).Loss(rows);
        var found = new OnnxEvaluator().Evaluate(model, inputs)[0].ToArray<float>()[0];
        Assert.Equal(expected, found, Tolerances.OtherOperators * expected);
        Assert.Equal(packed, inputs.ContainsKey("document_ids"));
    }

    [Fact]
    public void Documents_packed_into_a_row_have_the_loss_of_rows_of_their_own()
    {
        var random = new Random(4);
        var apart = LlamaGraph.Build(Odd, 2, 8);
        var inputs = LlamaInputs.Random(apart.Graph, Odd.VocabularySize, random);
        long[] labels = inputs["labels"].ToInt64s();
        labels[0] = labels[8] = -100;
        inputs["labels"] = Tensor.Of<long>(ElementType.Int64, [2, 8], labels);
        var together = LlamaGraph.Build(Odd, 1, 16, packed: true);
        var packed = inputs.ToDictionary(i => i.Key, i => i.Value.Type == ElementType.Int64 ? i.Value.Reshaped([1, 16]) : i.Value);
        packed["position_ids"] = Tensor.Of<long>(ElementType.Int64, [1, 16], [.. Enumerable.Range(0, 16).Select(t => t % 8L)]);
        packed["document_ids"] = Tensor.Of<long>(ElementType.Int64, [1, 16], [.. Enumerable.Range(0, 16).Select(t => 7L - (t / 8))]);
        var evaluator = new OnnxEvaluator();
        var expected = evaluator.Evaluate(apart, inputs)[0].ToArray<float>()[0];
        Assert.Equal(expected, evaluator.Evaluate(together, packed)[0].ToArray<float>()[0], Tolerances.OneOperator * expected);
    }

    [Fact]
    public void In_16_bits_everything_but_the_loss_and_the_tables_is_of_that_type()
    {
        var graph = LlamaGraph.Build(DecoderConfig.Load(LlamaTiny.Folder), 2, 8, type: ElementType.BFloat16).Graph;
        var wide = graph.Values.Values.Where(v => v.Type == ElementType.Float).ToList();
        Assert.All(wide.Where(v => v.Uses.Count > 0), v => Assert.StartsWith("rotary_", v.Name, StringComparison.Ordinal));
        Assert.Contains(graph.Values["loss"], wide);
        Assert.All(graph.Values.Values, v => Assert.True(v.Shape is { IsStatic: true }, v.Name));
    }

    [Theory]
    [InlineData(0, 8, "the batch")]
    [InlineData(1, 1, "the sequence")]
    [InlineData(1, 17, "max_position_embeddings")]
    public void Sizes_that_the_model_does_not_take_are_refused(int batch, int sequence, string part) =>
        Assert.Contains(part, Assert.Throws<HaloException>(() => LlamaGraph.Build(Odd, batch, sequence)).Message, StringComparison.Ordinal);
}
