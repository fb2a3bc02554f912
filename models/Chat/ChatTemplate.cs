using Halo.Models.Chat.Jinja;

namespace Halo.Models.Chat;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role"><c>system</c>, <c>user</c> or <c>assistant</c>, as the template knows them.</param>
/// <param name="Content">The text as the user wrote it; the template trims it if it wants.</param>
public sealed record ChatMessage(string Role, string Content);

/// <summary>A Hugging Face chat template: the part of Jinja such templates use, interpreted as Transformers does.</summary>
/// <remarks>
/// <c>trim_blocks</c> and <c>lstrip_blocks</c> are on. <c>strftime_now</c> is undefined, so that templates which can take a fixed date do and equal
/// conversations give equal tokens; a date of one's own is a variable.
/// </remarks>
public sealed class ChatTemplate
{
    private readonly List<JinjaStatement> _body;
    private readonly Dictionary<string, object?> _variables = [];

    /// <param name="template">The template's text.</param>
    /// <param name="variables">Texts the template may read: bos_token, eos_token, date_string.</param>
    /// <exception cref="HaloException">Syntax that is wrong or not supported, with its line.</exception>
    public ChatTemplate(string template, IReadOnlyDictionary<string, string>? variables = null)
    {
        _body = JinjaParser.Parse(template);
        foreach (var (name, value) in variables ?? new Dictionary<string, string>()) _variables[name] = value;
    }

    /// <param name="messages">The conversation, oldest turn first.</param>
    /// <param name="addGenerationPrompt">Whether to end with the header of an assistant's turn.</param>
    /// <exception cref="HaloException">The template refuses the conversation or uses what is not supported, with its line.</exception>
    public string Render(IEnumerable<ChatMessage> messages, bool addGenerationPrompt)
    {
        var list = messages.Select(m => (object?)new OrderedDictionary<string, object?> { ["role"] = m.Role, ["content"] = m.Content }).ToList();
        return JinjaRenderer.Render(_body, [.. _variables, new("messages", list), new("add_generation_prompt", addGenerationPrompt)]);
    }
}
