using System.Text.Json;
using System.Text.Unicode;
using Halo.Io;
using Halo.Models.Chat;
using Halo.Models.Json;

namespace Halo.Runner.Data;

/// <summary>One conversation of a JSONL file and the line it stands on (from 1).</summary>
public sealed record ChatRow(int Line, IReadOnlyList<ChatMessage> Messages, ChatTools? Tools = null)
{
    /// <summary>What the template renders.</summary>
    public ChatConversation Chat => new(Messages, Tools);
}

/// <summary>Streams the conversations of a JSONL file: one <c>{"messages": [{"role", "content"}, ...], "tools": [...]}</c> a line, in UTF-8.</summary>
/// <remarks>
/// Blank lines and a byte order mark are passed over, and so are further fields of a row (an id, a source) but those that other programs honour. A further
/// field of a message is refused unless it is null: <c>weight</c> or <c>tool_calls</c> would change what is trained on.
/// </remarks>
public static class ChatJsonl
{
    private const string Reader = "read-chat";
    private static readonly string[] Roles = ["system", "user", "assistant", "tool"];

    /// <summary>Fields of a row that say something about what is rendered or learned.</summary>
    private static readonly HashSet<string> Unhonoured =
    [
        "chat_template_kwargs", "chat_template", "documents", "functions", "function_call", "tool_choice", "parallel_tool_calls", "system", "weight", "loss_weight",
        "prompt", "completion", "chosen", "rejected", "label", "images", "audios", "videos",
    ];

    /// <summary>A line of more is no conversation.</summary>
    private const int MaxLineBytes = 1 << 28;
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <exception cref="HaloException">The file is missing, empty, or a line is not a conversation with an assistant turn; file and line are named.</exception>
    public static IEnumerable<ChatRow> Read(string path)
    {
        using var stream = Open(path);
        var rows = 0;
        foreach (var (number, bytes) in Lines(stream, path))
        {
            if (number == 1 && FileContent.Other(bytes.Span) is var (found, advice)) throw new HaloException(Reader, path, "a JSONL file", found, advice);
            if (bytes.Span.Trim(" \t\r"u8).IsEmpty) continue;
            rows++;
            yield return Parse(bytes, path, number);
        }
        if (rows == 0) throw new HaloException(Reader, path, "at least one conversation", "an empty file", "Give a JSONL file with one conversation a line.");
    }

    private static FileStream Open(string path)
    {
        if (Directory.Exists(path)) throw new HaloException(Reader, path, "a JSONL file", "a folder", "Name a file in it.");
        FilePlace.RequireRegular(path);
        try { return File.OpenRead(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HaloException(Reader, path, "a file that can be read",
                e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : e.Message.TrimEnd('.'), "Check the path.", e);
        }
    }

    /// <summary>The lines without their end, numbered from 1. The memory is valid until the next line.</summary>
    private static IEnumerable<(int Number, ReadOnlyMemory<byte> Bytes)> Lines(Stream stream, string path)
    {
        var buffer = new byte[1 << 16];
        int start = 0, end = 0, number = 0;
        while (true)
        {
            int length;
            while ((length = buffer.AsSpan(start, end - start).IndexOf((byte)'\n')) >= 0)
            {
                yield return (++number, WithoutMark(buffer.AsMemory(start, length), number));
                start += length + 1;
            }
            buffer.AsSpan(start, end - start).CopyTo(buffer);
            (start, end) = (0, end - start);
            if (end == MaxLineBytes) throw Bad(path, number + 1, $"a line of at most {MaxLineBytes >> 20} MiB", "a longer one", "Split the conversation.");
            if (end == buffer.Length) Array.Resize(ref buffer, buffer.Length * 2);
            var read = stream.Read(buffer, end, buffer.Length - end);
            if (read == 0) break;
            end += read;
        }
        if (end > 0) yield return (++number, WithoutMark(buffer.AsMemory(0, end), number));
    }

    private static ReadOnlyMemory<byte> WithoutMark(ReadOnlyMemory<byte> line, int number)
        => number == 1 && line.Span.StartsWith("\uFEFF"u8) ? line[3..] : line;

    private static ChatRow Parse(ReadOnlyMemory<byte> bytes, string path, int line)
    {
        if (!Utf8.IsValid(bytes.Span)) throw Bad(path, line, "UTF-8 text", "bytes that are not UTF-8", "Save the file as UTF-8.");
        try
        {
            using var document = JsonDocument.Parse(bytes, Strict);
            var messages = Messages(document.RootElement, path, line);
            return new ChatRow(line, messages, Tools(document.RootElement, path, line));
        }
        catch (InvalidOperationException e) // half of a surrogate pair in a name, which the check for duplicates reads
        {
            throw Bad(path, line, "names in Unicode", "half of a surrogate pair", "Correct the escape.", e);
        }
        catch (JsonException e)
        {
            if (JsonDuplicate.Find(bytes.Span) is { } twice) throw Bad(path, line, "one whole JSON object, each key once", twice, "Remove one of the two.", e);
            throw Bad(path, line, "one whole JSON object", $"invalid JSON at byte {e.BytePositionInLine} of the line", "Complete or remove the line.", e);
        }
    }

    private static List<ChatMessage> Messages(JsonElement row, string path, int line)
    {
        if (row.ValueKind != JsonValueKind.Object) throw Bad(path, line, "a JSON object", Kind(row), "Write {\"messages\": [...]}.");
        if (!row.TryGetProperty("messages", out var list)) throw Bad(path, line, "a field 'messages'", Names(row), "Write {\"messages\": [...]}.");
        if (list.ValueKind != JsonValueKind.Array) throw Bad(path, line, "'messages' as an array", Kind(list), "Write {\"messages\": [...]}.");
        var messages = list.EnumerateArray().Select((message, i) => Message(message, $"messages[{i}]", path, line)).ToList();
        if (!messages.Exists(m => m.Role == "assistant"))
            throw Bad(path, line, "an assistant message to learn from", "none", "Add the assistant's answer or remove the line.");
        return messages;
    }

    /// <summary>The tools of a row; any other field that would be honoured elsewhere is refused.</summary>
    private static ChatTools? Tools(JsonElement row, string path, int line)
    {
        ChatTools? tools = null;
        foreach (var field in row.EnumerateObject())
        {
            if (field.Value.ValueKind == JsonValueKind.Null) continue;
            if (Unhonoured.Contains(field.Name))
                throw Bad(path, line, "only 'messages' and 'tools' of the fields that are rendered", $"'{field.Name}'",
                    "Remove the field: it would not be honoured.");
            if (field.Name != "tools") continue;
            if (field.Value.ValueKind != JsonValueKind.Array) throw Bad(path, line, "'tools' as an array", Kind(field.Value), "Write {\"tools\": [...]}.");
            if (field.Value.GetArrayLength() == 0) continue;
            try { tools = ChatTools.Of(field.Value); }
            catch (InvalidOperationException e) { throw Bad(path, line, "'tools' as Unicode text", "half of a surrogate pair", "Correct the escape.", e); }
        }
        return tools;
    }

    private static ChatMessage Message(JsonElement message, string place, string path, int line)
    {
        if (message.ValueKind != JsonValueKind.Object)
            throw Bad(path, line, $"{place} as an object", Kind(message), "Write {\"role\": ..., \"content\": ...}.");
        foreach (var field in message.EnumerateObject())
            if (field.Name is not ("role" or "content") && field.Value.ValueKind != JsonValueKind.Null)
                throw Bad(path, line, $"only 'role' and 'content' in {place}", $"'{field.Name}'", "Remove the field: it would not be honoured.");
        var role = Text(message, "role", place, path, line);
        if (!Roles.Contains(role))
            throw Bad(path, line, $"{place}.role as one of {string.Join(", ", Roles)}", $"'{role}'", "Correct the role.");
        return new ChatMessage(role, Text(message, "content", place, path, line));
    }

    private static string Text(JsonElement message, string name, string place, string path, int line)
    {
        if (!message.TryGetProperty(name, out var value)) throw Bad(path, line, $"a field '{name}' in {place}", Names(message), "Add the field.");
        if (value.ValueKind != JsonValueKind.String) throw Bad(path, line, $"{place}.{name} as a string", Kind(value), "Write it as a JSON string.");
        try { return value.GetString()!; }
        catch (InvalidOperationException e) // half of a surrogate pair, written as \uD83D
        {
            throw Bad(path, line, $"{place}.{name} as Unicode text", "half of a surrogate pair", "Correct the escape.", e);
        }
    }

    private static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Null => "null",
        JsonValueKind.True or JsonValueKind.False => "a truth value",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.Array => "an array",
        _ => "an object",
    };

    private static string Names(JsonElement element)
    {
        var names = element.EnumerateObject().Select(p => $"'{p.Name}'").Take(8).ToArray();
        return names.Length == 0 ? "no field at all" : $"only {string.Join(", ", names)}";
    }

    private static HaloException Bad(string path, int line, string expected, string found, string advice, Exception? inner = null)
        => new(Reader, $"{path}, line {line}", expected, found, advice, inner);
}
