using Halo.Models.HuggingFace;
using Halo.Models.Tokenizers;

namespace Halo.Models.Chat;

/// <summary>The ids that end a completion.</summary>
public static class StopTokens
{
    /// <summary>The end of a turn in the chat format of Llama 3.</summary>
    private const string EndOfTurn = "<|eot_id|>";

    /// <summary>
    /// Those of generation_config.json and config.json, the tokenizer's EOS token, its end-of-turn token if it has one, and the mark that its chat template
    /// writes behind an answer: what a model that is trained on the template says when it is done.
    /// </summary>
    /// <param name="folder">Where generation_config.json may be.</param>
    /// <param name="config">The model's.</param>
    /// <param name="tokenizer">The model's.</param>
    public static IReadOnlySet<int> Of(string folder, DecoderConfig config, HfTokenizer tokenizer)
    {
        var ids = new HashSet<int>(GenerationConfig.Find(folder)?.EosTokenIds ?? []);
        ids.UnionWith(config.EosTokenIds);
        foreach (var id in (int?[])[tokenizer.EosId, tokenizer.IdOf(EndOfTurn), OfTemplate(tokenizer)])
        {
            if (id is { } stop)
                ids.Add(stop);
        }
        return ids;
    }

    /// <summary>Null where there is no template, or none that can be run: whoever needs it is told.</summary>
    private static int? OfTemplate(HfTokenizer tokenizer)
    {
        try { return tokenizer.ChatTemplate is null ? null : new ChatTokenizer(tokenizer).EndOfTurn(); }
        catch (HaloException) { return null; }
    }
}
