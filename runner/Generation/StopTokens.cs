using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;

namespace Halo.Runner.Generation;

/// <summary>The ids that end a completion.</summary>
public static class StopTokens
{
    /// <summary>The end of a turn in the chat format of Llama 3.</summary>
    private const string EndOfTurn = "<|eot_id|>";

    /// <summary>Those of generation_config.json and config.json, the tokenizer's EOS token, and its end-of-turn token if it has one.</summary>
    /// <param name="folder">Where generation_config.json may be.</param>
    /// <param name="config">The model's.</param>
    /// <param name="tokenizer">The model's.</param>
    public static IReadOnlySet<int> Of(string folder, LlamaConfig config, HfTokenizer tokenizer)
    {
        var ids = new HashSet<int>(GenerationConfig.Find(folder)?.EosTokenIds ?? []);
        ids.UnionWith(config.EosTokenIds);
        foreach (var id in (int?[])[tokenizer.EosId, tokenizer.IdOf(EndOfTurn)])
        {
            if (id is { } stop)
                ids.Add(stop);
        }
        return ids;
    }
}
