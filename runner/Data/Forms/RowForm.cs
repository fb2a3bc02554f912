using System.Text.Json;
using Halo.Models.Chat;
using Halo.Runner.Data.Reading;

namespace Halo.Runner.Data.Forms;

/// <summary>One form of rows: the fields that it is known by, and what they say as a conversation.</summary>
/// <param name="Format">Its name.</param>
/// <param name="Fields">Those that make a row one of this form.</param>
/// <param name="Others">Those that it reads besides.</param>
/// <param name="Read">Makes a row of the object.</param>
/// <remarks>
/// Fields that a form does not know (an id, a source) are passed over, and named in the log; but for those that other programs honour, which are refused:
/// a weight or a rejected answer would change what is trained on.
/// </remarks>
internal sealed record RowForm(DataFormat Format, string[] Fields, string[] Others, Func<RowJson, ChatConversation> Read)
{
    private static readonly HashSet<string> Unhonoured =
    [
        "chat_template_kwargs", "chat_template", "documents", "functions", "function_call", "tool_choice", "parallel_tool_calls", "system", "weight", "loss_weight",
        "prompt", "completion", "chosen", "rejected", "label", "images", "audios", "videos", "history",
    ];

    private static readonly string[] Roles = ["system", "user", "assistant", "tool"];

    /// <summary>What ShareGPT calls its speakers. [FastChat, LLaMA-Factory]</summary>
    private static readonly Dictionary<string, string> Speakers = new()
    {
        ["human"] = "user",
        ["user"] = "user",
        ["gpt"] = "assistant",
        ["chatgpt"] = "assistant",
        ["bing"] = "assistant",
        ["bard"] = "assistant",
        ["model"] = "assistant",
        ["assistant"] = "assistant",
        ["system"] = "system",
        ["tool"] = "tool",
        ["observation"] = "tool",
        ["function_response"] = "tool",
    };

    /// <summary>In the order in which they are looked for: text last, as rows of other forms carry it besides.</summary>
    internal static IReadOnlyList<RowForm> All { get; } =
    [
        new(DataFormat.Messages, ["messages"], ["tools"], row => Chat(row, Messages(row, "messages"))),
        new(DataFormat.Sharegpt, ["conversations"], ["system", "tools"], row => Chat(row, [.. System(row), .. Turns(row)])),
        new(DataFormat.Alpaca, ["instruction", "output"], ["input", "system"], row => Chat(row, [.. System(row), .. Task(row)])),
        new(DataFormat.Completion, ["prompt", "completion"], ["tools"], Completion),
        new(DataFormat.Text, ["text"], [], _ => throw new InvalidOperationException("text is no conversation")),
    ];

    internal static RowForm Of(DataFormat format) => All.Single(f => f.Format == format);

    /// <summary>The form of a file's first row.</summary>
    /// <exception cref="HaloException">None.</exception>
    internal static RowForm Find(RowJson row) => All.FirstOrDefault(f => f.Fields.All(row.Has)) ?? throw row.Bad(
        $"the fields of a form: {string.Join("; ", All.Select(f => string.Join(", ", f.Fields.Select(n => $"'{n}'"))))}", row.Names(),
        "Rename the fields: of conversations, write {\"messages\": [...]}.");

    /// <summary>How the log names it.</summary>
    internal string Name => $"{Format.ToString().ToLowerInvariant()} ({string.Join(", ", Fields.Concat(Others))})";

    /// <summary>Fields of a row that are passed over.</summary>
    internal IEnumerable<string> PassedOver(RowJson row) => row.Fields.Select(f => f.Name).Where(n => !Fields.Contains(n) && !Others.Contains(n));

    /// <exception cref="HaloException">The row is of another form, or a field is not right.</exception>
    internal DataRow Row(RowJson row)
    {
        row.Refuse(Unhonoured.Except(Fields).Except(Others).ToHashSet(), string.Join(" and ", Fields.Concat(Others).Select(n => $"'{n}'")));
        return Format == DataFormat.Text ? new DataRow(row.Place, null, new RunningText(row.Text("text"))) : new DataRow(row.Place, Read(row));
    }

    private static ChatConversation Chat(RowJson row, IReadOnlyList<ChatMessage> messages, int learnedFrom = 0) =>
        messages.Skip(learnedFrom).Any(m => m.Role == "assistant") ? new ChatConversation(messages, Tools(row)) { LearnedFrom = learnedFrom }
            : throw row.Bad("an assistant message to learn from", "none", "Add the assistant's answer or remove the row.");

    private static List<ChatMessage> Messages(RowJson row, string field) => [.. row.Objects(field).Select(message =>
    {
        message.RefuseOthers("role", "content");
        var role = message.Text("role");
        return Roles.Contains(role) ? new ChatMessage(role, message.Text("content"))
            : throw message.Bad($"{message.Called("role")} as one of {string.Join(", ", Roles)}", $"'{role}'", "Correct the role.");
    })];

    private static IEnumerable<ChatMessage> Turns(RowJson row) => row.Objects("conversations").Select(turn =>
    {
        if (turn.Has("role") && !turn.Has("from"))
            throw turn.Bad("'from' and 'value'", turn.Names(), "Rename 'conversations' to 'messages': its rows are of that form.");
        turn.RefuseOthers("from", "value");
        var from = turn.Text("from");
        return Speakers.TryGetValue(from, out var role) ? new ChatMessage(role, turn.Text("value"))
            : throw turn.Bad($"{turn.Called("from")} as one of {string.Join(", ", Speakers.Keys)}", $"'{from}'", "Correct the speaker, or leave the turn out.");
    });

    private static ChatMessage[] System(RowJson row) => row.TextIfAny("system") is { Length: > 0 } system ? [new ChatMessage("system", system)] : [];

    /// <summary>Instruction and input are one message, a line end between them. [LLaMA-Factory]</summary>
    private static ChatMessage[] Task(RowJson row)
    {
        var (instruction, input) = (row.Text("instruction"), row.TextIfAny("input"));
        return [new ChatMessage("user", string.IsNullOrEmpty(input) ? instruction : $"{instruction}\n{input}"), new ChatMessage("assistant", row.Text("output"))];
    }

    /// <summary>Two texts, or two lists of messages, of which the second is learned. [TRL]</summary>
    private static ChatConversation Completion(RowJson row)
    {
        if (row.Field("prompt") is not { ValueKind: JsonValueKind.Array })
            return Chat(row, [new ChatMessage("user", row.Text("prompt")), new ChatMessage("assistant", row.Text("completion"))]);
        var prompt = Messages(row, "prompt");
        return Chat(row, [.. prompt, .. Messages(row, "completion")], prompt.Count);
    }

    /// <summary>An array, or the text of one, as tables have it.</summary>
    private static ChatTools? Tools(RowJson row)
    {
        if (row.Field("tools") is not { } tools)
            return null;
        try
        {
            if (tools.ValueKind != JsonValueKind.String)
                return Of(tools);
            using var inner = JsonDocument.Parse(tools.GetString() is { Length: > 0 } text ? text : "[]");
            return Of(inner.RootElement);
        }
        catch (InvalidOperationException e) { throw row.Bad("'tools' as Unicode text", "half of a surrogate pair", "Correct the escape.", e); }
        catch (JsonException e) { throw row.Bad("'tools' as an array, or the text of one", "a text that is no JSON", "Write {\"tools\": [...]}.", e); }

        ChatTools? Of(JsonElement list) => list.ValueKind != JsonValueKind.Array ? throw row.Bad("'tools' as an array", RowJson.Kind(list), "Write {\"tools\": [...]}.")
            : list.GetArrayLength() == 0 ? null : ChatTools.Of(list);
    }
}
