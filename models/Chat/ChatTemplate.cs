using System.Text.RegularExpressions;
using Halo.Models.Chat.Jinja;

namespace Halo.Models.Chat;

/// <summary>A Hugging Face chat template: the part of Jinja such templates use, interpreted as Transformers does.</summary>
/// <remarks>
/// <c>trim_blocks</c> and <c>lstrip_blocks</c> are on; <c>tools</c> and <c>documents</c> are none where there are none. <c>strftime_now</c> is undefined, so that
/// templates which can take a fixed date do and equal conversations give equal tokens; a date of one's own is a variable.
/// </remarks>
public sealed partial class ChatTemplate
{
    private readonly List<JinjaStatement> _body;
    private readonly Dictionary<string, object?> _variables = [];
    private readonly bool _namesTools, _hasGeneration;

    /// <param name="template">The template's text.</param>
    /// <param name="variables">Texts the template may read: bos_token, eos_token, date_string.</param>
    /// <exception cref="HaloException">Syntax that is wrong or not supported, with its line.</exception>
    public ChatTemplate(string template, IReadOnlyDictionary<string, string>? variables = null)
    {
        _body = JinjaParser.Parse(template);
        (_namesTools, _hasGeneration) = (Tools().IsMatch(template), Generation().IsMatch(template));
        foreach (var (name, value) in variables ?? new Dictionary<string, string>()) _variables[name] = value;
    }

    /// <param name="messages">The conversation, oldest turn first.</param>
    /// <param name="addGenerationPrompt">Whether to end with the header of an assistant's turn.</param>
    /// <exception cref="HaloException">The template refuses the conversation, uses what is not supported, or takes too long, with its line.</exception>
    public string Render(IEnumerable<ChatMessage> messages, bool addGenerationPrompt) => Render(new ChatConversation([.. messages]), addGenerationPrompt);

    /// <summary>As above, with tools.</summary>
    public string Render(ChatConversation chat, bool addGenerationPrompt) =>
        Render(chat, chat.Messages.Count, addGenerationPrompt, new JinjaBudget(chat.Messages.Count));

    /// <summary>The whole conversation, and where the template's generation blocks stand in it; none where it has no blocks.</summary>
    internal (string Text, IReadOnlyList<(int Start, int End)> Generated) RenderWithGenerated(ChatConversation chat)
    {
        if (!_hasGeneration) return ("", []);
        var generated = new List<(int Start, int End)>();
        return (Render(chat, chat.Messages.Count, addGenerationPrompt: false, new JinjaBudget(chat.Messages.Count), generated: generated), generated);
    }

    /// <summary>The whole conversation, and its beginnings one by one.</summary>
    /// <param name="chat">The conversation.</param>
    /// <param name="wanted">The beginnings that will be asked for: turns, and whether the header of an assistant's turn follows.</param>
    internal ChatRendering RenderWithBeginnings(ChatConversation chat, IReadOnlySet<(int Turns, bool Prompt)> wanted)
    {
        var (budget, beginnings) = (new JinjaBudget(chat.Messages.Count), new JinjaBeginnings(wanted));
        var text = Render(chat, chat.Messages.Count, addGenerationPrompt: false, budget, beginnings);
        return new ChatRendering(text, beginnings, (turns, prompt) => Render(chat, turns, prompt, budget));
    }

    private string Render(ChatConversation chat, int turns, bool addGenerationPrompt, JinjaBudget budget, JinjaBeginnings? beginnings = null,
        List<(int Start, int End)>? generated = null)
    {
        if (chat.Tools is not null && !_namesTools)
        {
            throw new HaloException("chat-template", "tools", "a template that writes tools", "one that does not name them",
                "Remove the tools, or use a tokenizer whose chat_template takes them.");
        }
        var list = chat.Messages.Take(turns)
            .Select(m => (object?)new OrderedDictionary<string, object?> { ["role"] = m.Role, ["content"] = m.Content }).ToList();
        KeyValuePair<string, object?>[] conversation =
        [
            new("messages", new JinjaTurns(new JinjaConversation(list), 0)), new("tools", chat.Tools?.Values), new("documents", null),
            new("add_generation_prompt", addGenerationPrompt),
        ];
        return JinjaRenderer.Render(_body, [.. _variables, .. conversation], budget, beginnings, generated);
    }

    [GeneratedRegex(@"\{%[-+]?\s*generation\b")]
    private static partial Regex Generation();

    [GeneratedRegex(@"\btools\b")]
    private static partial Regex Tools();
}

/// <summary>The text of a conversation, and how its beginnings stand to it.</summary>
/// <param name="text">Of the whole.</param>
/// <param name="beginnings">Those that the rendering of the whole told.</param>
/// <param name="render">Renders another beginning.</param>
internal sealed class ChatRendering(string text, JinjaBeginnings beginnings, Func<int, bool, string> render)
{
    internal string Text => text;

    /// <summary>The characters that a beginning's text has; null where the whole does not begin with that text.</summary>
    internal int? LengthOf(int turns, bool prompt)
    {
        if (beginnings.Of(turns, prompt) is not var (shared, rest))
        {
            var own = render(turns, prompt);
            return text.StartsWith(own, StringComparison.Ordinal) ? own.Length : null;
        }
        return text.AsSpan(shared).StartsWith(rest) ? shared + rest.Length : null;
    }

    internal string TextOf(int turns, bool prompt) => beginnings.Of(turns, prompt) is var (shared, rest) ? text[..shared] + rest : render(turns, prompt);
}
