using Halo.Analysis;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Models.HuggingFace;

namespace Halo.Models.Llama;

/// <summary>
/// The forward graph of a LLaMA, or of a family that differs by what <see cref="DecoderFamily"/> says, built from its <c>config.json</c> in the operators that
/// Halo trains with.
/// </summary>
/// <remarks>
/// Inputs: the parameters by their checkpoint names and shapes (<see cref="LlamaParameters"/>); input_ids, attention_mask (0 hides a token), labels, int64
/// (B, T). Output: loss () float32, the mean cross-entropy over the labels other than -100 of tokens 1 to T - 1, each predicted from those before it.
/// Token t of a row is at position t, padding included. [Transformers, LlamaForCausalLM]
/// </remarks>
public static class LlamaGraph
{
    /// <param name="config">The model's sizes.</param>
    /// <param name="batch">B, rows at once.</param>
    /// <param name="sequence">T, tokens of a row.</param>
    /// <param name="packed">
    /// Adds inputs position_ids (each in [0, T)) and document_ids (tokens see only those of their own), int64 (B, T). The first token of each document
    /// should have label -100: it would be predicted from the last token of the one before.
    /// </param>
    /// <param name="type">Type of activations; the loss, the rotary tables and everything inside the fused operators is float32.</param>
    /// <param name="parameterType">Type of parameters; null is that of activations. Another one is cast where the graph reads it.</param>
    /// <exception cref="HaloException">Sizes that the model does not take.</exception>
    public static Model Build(DecoderConfig config, int batch, int sequence, bool packed = false, ElementType type = ElementType.Float,
        ElementType? parameterType = null)
    {
        Check(config, batch, sequence, type);
        Check(config, batch, sequence, parameterType ?? type);
        using var activity = GraphActivity.Build("llama");
        var g = new LlamaParts(config, batch, sequence, packed, type, parameterType ?? type);
        var ids = g.At(TrainingNames.InputIds).Op("rows", "Reshape", [g.InputIds, g.Sizes(g.Rows)]);
        var x = g.At("model.embed_tokens").Op("", "Gather", [g.Parameter(LlamaParameters.Embedding), ids]);
        for (var n = 0; n < config.Layers; n++)
        {
            var (layer, isNormedBehind) = (LlamaParameters.Layer(n), config.Family.NormsWhatIsAdded);
            var attention = AttentionBlock.Build(g, n, isNormedBehind ? x : g.Norm($"{layer}.input_layernorm", x));
            x = g.At(layer).Op("after_attention", "Add", [x, isNormedBehind ? g.Norm($"{layer}.post_attention_layernorm", attention) : attention]);
            var mlp = Mlp(g, $"{layer}.mlp", isNormedBehind ? x : g.Norm($"{layer}.post_attention_layernorm", x));
            x = g.At(layer).Op("after_mlp", "Add", [x, isNormedBehind ? g.Norm($"{layer}.post_feedforward_layernorm", mlp) : mlp]);
        }
        var head = config.TieWordEmbeddings ? LlamaParameters.Embedding : LlamaParameters.Head;
        var logits = g.Linear("lm_head", g.Norm("model.norm", x), head, bias: null);
        g.Model.Graph.AddOutput(g.At("").CrossEntropy(logits, NextTokens(g), TrainingNames.Loss, TrainingNames.IgnoredLabel).Loss);
        return g.Model;
    }

    /// <summary>down(silu(gate(x)) * up(x)). [Transformers, LlamaMLP]</summary>
    private static Value Mlp(LlamaParts g, string module, Value x)
    {
        var (hasBias, size) = (g.Config.MlpBias, g.Config.IntermediateSize);
        Value[] parts = g.Config.Family.HasFusedProjections ? g.Split($"{module}.gate_up_proj", g.Linear($"{module}.gate_up_proj", x, hasBias), 1, size, size)
            : [g.Linear($"{module}.gate_proj", x, hasBias), g.Linear($"{module}.up_proj", x, hasBias)];
        return g.Linear($"{module}.down_proj", g.At(module).SwiGlu(parts[0], parts[1], "swi_glu"), hasBias);
    }

    /// <summary>The label of each row of logits, (B T): that of the next token, and none for the last one of each row of the batch.</summary>
    private static Value NextTokens(LlamaParts g)
    {
        var build = g.At(TrainingNames.Labels);
        var tail = build.Op("tail", "Slice", [g.Labels, g.Sizes(1), g.Sizes(g.Sequence), g.Sizes(1)]);
        var ignored = build.Constant("ignored", Tensor.Scalar(TrainingNames.IgnoredLabel));
        var next = build.Op("next", "Pad", [tail, build.Constant("padding", Tensor.Int64s(0, 0, 0, 1)), ignored]);
        return build.Op("rows", "Reshape", [next, g.Sizes(g.Rows)]);
    }

    private static void Check(DecoderConfig config, int batch, int sequence, ElementType type)
    {
        if (batch < 1)
            throw Refused("the batch", "at least 1 row", $"{batch}", "Give a micro-batch size from 1.");
        if (sequence < 2 || sequence > config.LongestSequence)
        {
            throw Refused("the sequence", $"2 to {config.LongestSequence} tokens (max_position_embeddings)", $"{sequence}",
                "Choose another sequence length.");
        }
        if (!type.IsFloat() || type == ElementType.Double)
            throw Refused("the type", "float, float16 or bfloat16", type.Name(), "Choose one of them.");
    }

    private static HaloException Refused(string subject, string expected, string found, string advice) =>
        new("build-llama", subject, expected, found, advice);
}
