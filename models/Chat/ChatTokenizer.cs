using Halo.Models.Tokenizers;

namespace Halo.Models.Chat;

/// <summary>Turns conversations into tokens and marks those that the assistant says.</summary>
public sealed class ChatTokenizer
{
    /// <summary>How far an answer is looked for before the place where it differs from the generation prompt, in characters.</summary>
    private const int SharedAtMost = 32;

    private const string SameEarlierTurns = "a template that renders earlier turns the same whatever follows";

    private readonly HashSet<string> _notes;

    /// <exception cref="HaloException">The tokenizer has no chat template, or one that is not supported.</exception>
    public ChatTokenizer(HfTokenizer tokenizer)
    {
        Tokenizer = tokenizer;
        _notes = [.. tokenizer.Notes];
        var variables = new[] { ("bos_token", tokenizer.BosToken), ("eos_token", tokenizer.EosToken), ("pad_token", tokenizer.PadToken) }
            .Where(v => v.Item2 is not null).ToDictionary(v => v.Item1, v => v.Item2!);
        Template = new ChatTemplate(tokenizer.ChatTemplate
            ?? throw new HaloException("chat-template", "tokenizer_config.json", "a chat_template", "none",
                "Use the tokenizer of a chat model, or add a template."), variables);
    }

    public HfTokenizer Tokenizer { get; }

    public ChatTemplate Template { get; }

    /// <summary>What a reader should know of how conversations were taken so far, a sentence each.</summary>
    public IReadOnlyList<string> Notes
    {
        get { lock (_notes) return [.. _notes]; }
    }

    /// <summary>The ids of a prompt that ends where the assistant's answer begins.</summary>
    public int[] EncodePrompt(IReadOnlyList<ChatMessage> messages) => EncodePrompt(new ChatConversation(messages));

    /// <summary>As above, with tools.</summary>
    public int[] EncodePrompt(ChatConversation chat) => Tokenizer.Encode(Template.Render(chat, addGenerationPrompt: true), addSpecialTokens: false);

    /// <summary>As <see cref="Encode(ChatConversation)"/>, without tools.</summary>
    public (int[] Ids, byte[] LossMask) Encode(IReadOnlyList<ChatMessage> messages) => Encode(new ChatConversation(messages));

    /// <summary>Renders the whole conversation and tokenizes it once; the template itself writes the BOS token.</summary>
    /// <returns>Ids, and per id 1 for the content and the end-of-turn token of an assistant's message, else 0.</returns>
    /// <remarks>
    /// An answer's place is found by rendering what precedes it with the generation prompt, and what precedes it with the answer: the text between. White space
    /// that a template writes behind the end-of-turn token is not the assistant's. A token counts where it starts. Where the generation prompt says more than
    /// precedes the answer (an opened "think"), the answer begins where the two part.
    /// </remarks>
    /// <exception cref="HaloException">The template refuses the conversation, or rewrites earlier turns so that answers cannot be placed.</exception>
    public (int[] Ids, byte[] LossMask) Encode(ChatConversation chat) => Encode(chat, AnswersOf(chat));

    /// <summary>The rows that a conversation is learned in, and notes by what its answers were found.</summary>
    /// <returns>
    /// One row, masked as the template's generation blocks say, or else as <see cref="Encode(ChatConversation)"/> does. Where the template rewrites earlier
    /// turns (takes thoughts out of them, as Qwen3's does) a row for each answer, of what precedes it and the answer alone, as it would be generated.
    /// </returns>
    /// <exception cref="HaloException">The template refuses the conversation, or answers cannot be placed even so.</exception>
    public IReadOnlyList<(int[] Ids, byte[] LossMask)> EncodeRows(ChatConversation chat)
    {
        if (Template.RenderWithGenerated(chat) is (var text, { Count: > 0 } generated))
        {
            Note("the loss is taken where the chat template's generation blocks stand");
            var tokens = Tokenizer.Tokenize(text);
            var mask = new byte[tokens.Count];
            foreach (var (start, end) in generated.Skip(BlocksOfPrompt(chat, generated.Count)))
                Array.Fill(mask, (byte)1, FirstAt(tokens, start), FirstAt(tokens, end) - FirstAt(tokens, start));
            return [([.. tokens.Select(token => token.Id)], mask)];
        }
        var turns = AnswersOf(chat);
        try
        {
            return [Encode(chat, turns)];
        }
        catch (HaloException e) when (e.Expected == SameEarlierTurns && turns.Count > 1)
        {
            Note("the chat template rewrites earlier turns, so each answer is a row of its own, with what precedes it as it would be generated");
            return [.. turns.Select(turn => Encode(chat with { Messages = [.. chat.Messages.Take(turn + 1)] }, [turn]))];
        }
    }

    private static List<int> AnswersOf(ChatConversation chat) =>
        [.. Enumerable.Range(0, chat.Messages.Count).Where(turn => turn >= chat.LearnedFrom && chat.Messages[turn].Role == "assistant")];

    /// <summary>How many generation blocks are of answers that belong to the prompt.</summary>
    private static int BlocksOfPrompt(ChatConversation chat, int blocks)
    {
        if (chat.LearnedFrom == 0) return 0;
        var answers = chat.Messages.Count(m => m.Role == "assistant");
        return answers == blocks ? answers - AnswersOf(chat).Count : throw new HaloException("chat-template", "prompt", $"a generation block for each of {answers} answers",
            $"{blocks}", "Write the row as messages, or leave answers out of the prompt.");
    }

    private void Note(string note)
    {
        lock (_notes) _notes.Add(note);
    }

    private (int[] Ids, byte[] LossMask) Encode(ChatConversation chat, List<int> turns)
    {
        var rendering = Template.RenderWithBeginnings(chat, turns.SelectMany(turn => new[] { (turn, true), (turn, false), (turn + 1, false) }).ToHashSet());
        var text = rendering.Text;
        var tokens = Tokenizer.Tokenize(text);
        var mask = new byte[tokens.Count];
        foreach (var turn in turns)
        {
            var start = rendering.LengthOf(turn, prompt: true) ?? StartWithoutPrompt(rendering, turn, chat.Messages[turn].Content);
            var end = turn + 1 == chat.Messages.Count ? text.Length : rendering.LengthOf(turn + 1, prompt: false) ?? throw Rewrites(turn);
            var (first, behind) = (FirstAt(tokens, start), FirstAt(tokens, end));
            var last = behind;
            while (last > first && !Tokenizer.IsSpecial(tokens[last - 1].Id)) last--;
            var isOnlySpaceBehind = last > first && (last == behind || text.AsSpan(tokens[last].Start, end - tokens[last].Start).IsWhiteSpace());
            for (var i = first; i < (isOnlySpaceBehind ? last : behind); i++) mask[i] = 1;
        }
        return ([.. tokens.Select(token => token.Id)], mask);
    }

    /// <summary>The mark that the template writes behind an answer, which a model trained on it says at its end: the first, if it writes several.</summary>
    /// <returns>Null where there is none, or where it belongs to the next message.</returns>
    public int? EndOfTurn()
    {
        ChatMessage[][] talks = [[new("user", "a"), new("assistant", "b")], [new("system", "s"), new("user", "a"), new("assistant", "b")]];
        foreach (var talk in talks)
        {
            try
            {
                var (ids, mask) = Encode(talk);
                var said = ids.Where((_, i) => mask[i] != 0).Reverse().TakeWhile(Tokenizer.IsAdded).ToList();
                return said.Count > 0 ? said[^1] : null;
            }
            catch (HaloException) { /* the template wants another conversation */ }
        }
        return null;
    }

    /// <summary>Whether an answer of the row ends in a mark that is learned, by which the model learns to stop.</summary>
    public bool LearnsToStop(ReadOnlySpan<int> ids, ReadOnlySpan<byte> mask)
    {
        for (var i = 0; i < ids.Length; i++)
            if (mask[i] != 0 && (i + 1 == ids.Length || mask[i + 1] == 0) && Tokenizer.IsAdded(ids[i])) return true;
        return false;
    }

    /// <summary>Where an answer begins if the generation prompt is not what precedes it.</summary>
    private int StartWithoutPrompt(ChatRendering rendering, int turn, string content)
    {
        if (rendering.LengthOf(turn, prompt: false) is not { } before) throw Rewrites(turn);
        var (text, prompt, answer) = (rendering.Text, rendering.TextOf(turn, prompt: true), content.Trim());
        var parting = text.AsSpan().CommonPrefixLength(prompt);
        var start = parting; // the answer may begin as the rest of the prompt does
        while (start > before && parting - start < SharedAtMost && !(answer.Length > 0 && text.AsSpan(start).StartsWith(answer))) start--;
        if (start <= before || parting - start == SharedAtMost) throw Rewrites(turn);
        Note($"the generation prompt ends in '{prompt[start..].ReplaceLineEndings("\\n")}', with which answers of the data do not begin: "
            + "they are learned as they stand, and a model that is prompted so goes on otherwise");
        return start;
    }

    private static int FirstAt(IReadOnlyList<Token> tokens, int place)
    {
        var (low, high) = (0, tokens.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = tokens[middle].Start < place ? (middle + 1, high) : (low, middle);
        }
        return low;
    }

    private static HaloException Rewrites(int turn) => new("chat-template", $"message {turn}", SameEarlierTurns, "one that rewrites them",
        "Train on conversations of one answer, or simplify the template.");
}
