using Halo.Ir;
using Halo.Models.HuggingFace;

namespace Halo.Models.Llama;

/// <summary>The parameters of a LLaMA or its kin: names, order and shapes of the checkpoint. [Transformers, LlamaForCausalLM.named_parameters]</summary>
/// <remarks>Weights of linear layers are (out, in), as Y = X W^T reads them. A tied model has no <c>lm_head.weight</c>.</remarks>
public static class LlamaParameters
{
    public const string Embedding = "model.embed_tokens.weight";

    public const string Head = "lm_head.weight";

    /// <summary>Every parameter, each once.</summary>
    public static IReadOnlyList<(string Name, Shape Shape)> Of(DecoderConfig config)
    {
        long hidden = config.HiddenSize, ffn = config.IntermediateSize;
        long queries = (long)config.Heads * config.HeadDim, keys = (long)config.KeyValueHeads * config.HeadDim;
        var parameters = new List<(string Name, Shape Shape)> { (Embedding, Shape.Of(config.VocabularySize, hidden)) };
        for (var layer = 0; layer < config.Layers; layer++)
        {
            var prefix = Layer(layer);
            if (config.Family.HasFusedProjections)
            {
                Linear($"{prefix}.self_attn.o_proj", hidden, queries, config.AttentionBias);
                Linear($"{prefix}.self_attn.qkv_proj", queries + (2 * keys), hidden, config.HasQueryBias);
                Linear($"{prefix}.mlp.gate_up_proj", 2 * ffn, hidden, config.MlpBias);
            }
            else
            {
                Linear($"{prefix}.self_attn.q_proj", queries, hidden, config.HasQueryBias);
                Linear($"{prefix}.self_attn.k_proj", keys, hidden, config.HasQueryBias);
                Linear($"{prefix}.self_attn.v_proj", keys, hidden, config.HasQueryBias);
                Linear($"{prefix}.self_attn.o_proj", hidden, queries, config.AttentionBias);
                Linear($"{prefix}.mlp.gate_proj", ffn, hidden, config.MlpBias);
                Linear($"{prefix}.mlp.up_proj", ffn, hidden, config.MlpBias);
            }
            if (config.Family.QueryKeyNorms is not QueryKeyNorms.None and var norms)
            {
                Norm($"{prefix}.self_attn.q_norm", norms == QueryKeyNorms.EachHead ? config.HeadDim : queries);
                Norm($"{prefix}.self_attn.k_norm", norms == QueryKeyNorms.EachHead ? config.HeadDim : keys);
            }
            Linear($"{prefix}.mlp.down_proj", hidden, ffn, config.MlpBias);
            if (!config.Family.NormsWhatIsAdded)
                Norm($"{prefix}.input_layernorm", hidden);
            Norm($"{prefix}.post_attention_layernorm", hidden);
            if (config.Family.NormsWhatIsAdded)
                Norm($"{prefix}.post_feedforward_layernorm", hidden);
        }
        Norm("model.norm", hidden);
        if (!config.TieWordEmbeddings)
            parameters.Add((Head, Shape.Of(config.VocabularySize, hidden)));
        return parameters;

        void Norm(string module, long size) => parameters.Add(($"{module}.weight", Shape.Of(size)));

        void Linear(string module, long rows, long columns, bool hasBias)
        {
            parameters.Add(($"{module}.weight", Shape.Of(rows, columns)));
            if (hasBias)
                parameters.Add(($"{module}.bias", Shape.Of(rows)));
        }
    }

    /// <summary>The module of a layer, counted from 0.</summary>
    internal static string Layer(int layer) => $"model.layers.{layer}";
}
