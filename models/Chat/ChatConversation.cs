using System.Text.Json;

namespace Halo.Models.Chat;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role"><c>system</c>, <c>user</c> or <c>assistant</c>, as the template knows them.</param>
/// <param name="Content">The text as the user wrote it; the template trims it if it wants.</param>
public sealed record ChatMessage(string Role, string Content);

/// <summary>What a template renders.</summary>
/// <param name="Messages">Oldest turn first.</param>
/// <param name="Tools">What the assistant can call; null where nothing.</param>
public sealed record ChatConversation(IReadOnlyList<ChatMessage> Messages, ChatTools? Tools = null)
{
    /// <summary>The first message that is learned, if it is the assistant's; answers before it belong to the prompt.</summary>
    public int LearnedFrom { get; init; }
}

/// <summary>The tools of a conversation, in whatever form the template expects.</summary>
public sealed class ChatTools
{
    private ChatTools(List<object?> values) => Values = values;

    /// <summary>As values of a template.</summary>
    internal List<object?> Values { get; }

    /// <summary>The objects of a JSON array.</summary>
    /// <exception cref="InvalidOperationException">A string that is no Unicode, or no array.</exception>
    public static ChatTools Of(JsonElement list) => new([.. list.EnumerateArray().Select(Value)]);

    private static object? Value(JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.Object:
                var map = new OrderedDictionary<string, object?>();
                foreach (var property in json.EnumerateObject()) map[property.Name] = Value(property.Value);
                return map;
            case JsonValueKind.Array: return json.EnumerateArray().Select(Value).ToList();
            case JsonValueKind.String: return json.GetString();
            case JsonValueKind.Number: return json.TryGetInt64(out var whole) ? (object)whole : json.GetDouble();
            case JsonValueKind.True or JsonValueKind.False: return json.ValueKind == JsonValueKind.True;
            default: return null;
        }
    }
}
