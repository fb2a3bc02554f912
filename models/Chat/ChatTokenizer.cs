using Halo.Models.Tokenizers;

namespace Halo.Models.Chat;

/// <summary>Turns conversations into tokens and marks those that the assistant says.</summary>
public sealed class ChatTokenizer
{
    /// <exception cref="HaloException">The tokenizer has no chat template, or one that is not supported.</exception>
    public ChatTokenizer(HfTokenizer tokenizer)
    {
        Tokenizer = tokenizer;
        var variables = new[] { ("bos_token", tokenizer.BosToken), ("eos_token", tokenizer.EosToken), ("pad_token", tokenizer.PadToken) }
            .Where(v => v.Item2 is not null).ToDictionary(v => v.Item1, v => v.Item2!);
        Template = new ChatTemplate(tokenizer.ChatTemplate
            ?? throw new HaloException("chat-template", "tokenizer_config.json", "a chat_template", "none",
                "Use the tokenizer of a chat model, or add a template."), variables);
    }

    public HfTokenizer Tokenizer { get; }

    public ChatTemplate Template { get; }

    /// <summary>The ids of a prompt that ends where the assistant's answer begins.</summary>
    public int[] EncodePrompt(IReadOnlyList<ChatMessage> messages) =>
        Tokenizer.Encode(Template.Render(messages, addGenerationPrompt: true), addSpecialTokens: false);

    /// <summary>Renders the whole conversation and tokenizes it once; the template itself writes the BOS token.</summary>
    /// <returns>Ids, and per id 1 for the content and the end-of-turn token of an assistant's message, else 0.</returns>
    /// <remarks>
    /// An answer's place is found by rendering what precedes it with the generation prompt, and what precedes it with the answer: the text between. White space
    /// that a template writes behind the end-of-turn token is not the assistant's. A token counts where it starts.
    /// </remarks>
    /// <exception cref="HaloException">The template refuses the conversation, or rewrites earlier turns so that answers cannot be placed.</exception>
    public (int[] Ids, byte[] LossMask) Encode(IReadOnlyList<ChatMessage> messages)
    {
        var text = Template.Render(messages, addGenerationPrompt: false);
        var tokens = Tokenizer.Tokenize(text);
        var mask = new byte[tokens.Count];
        for (var turn = 0; turn < messages.Count; turn++)
        {
            if (messages[turn].Role != "assistant") continue;
            var start = PrefixLength(text, messages.Take(turn), addGenerationPrompt: true, turn);
            var end = PrefixLength(text, messages.Take(turn + 1), addGenerationPrompt: false, turn);
            var inside = Enumerable.Range(0, tokens.Count).Where(i => tokens[i].Start >= start && tokens[i].Start < end).ToList();
            var last = inside.FindLastIndex(i => Tokenizer.IsSpecial(tokens[i].Id)) + 1;
            var isOnlySpaceBehind = last > 0
                && (last == inside.Count || text.AsSpan(tokens[inside[last]].Start, end - tokens[inside[last]].Start).IsWhiteSpace());
            foreach (var i in isOnlySpaceBehind ? inside[..last] : inside) mask[i] = 1;
        }
        return ([.. tokens.Select(token => token.Id)], mask);
    }

    private int PrefixLength(string text, IEnumerable<ChatMessage> messages, bool addGenerationPrompt, int turn)
    {
        var prefix = Template.Render(messages, addGenerationPrompt);
        return text.StartsWith(prefix, StringComparison.Ordinal) ? prefix.Length
            : throw new HaloException("chat-template", $"message {turn}", "a template that renders earlier turns the same whatever follows",
                "one that rewrites them",
                "Train on conversations of one answer, or simplify the template.");
    }
}
