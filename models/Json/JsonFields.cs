using System.Text.Json;
using Halo.Io;

namespace Halo.Models.Json;

/// <summary>Typed access to the fields of a JSON object in a file; null fields count as absent, and every defect names file and field.</summary>
internal sealed class JsonFields : IDisposable
{
    private readonly JsonDocument? _owner;
    private readonly JsonElement _element;
    private readonly string _source, _subject;

    private JsonFields(string source, string subject, JsonElement element, JsonDocument? owner = null)
    {
        (_source, _subject, _element, _owner) = (source, subject, element, owner);
        if (element.ValueKind != JsonValueKind.Object)
            throw new HaloException(source, subject, "a JSON object", element.ValueKind.ToString(), "Fetch the file again.");
    }

    /// <param name="source">Who complains, in kebab-case.</param>
    /// <param name="path">The file.</param>
    internal static JsonFields Open(string source, string path)
    {
        JsonDocument? json = null;
        byte[] bytes = [];
        try
        {
            if (Directory.Exists(path)) throw new HaloException(source, path, "a JSON file", "a folder", "Name the file in it.");
            FilePlace.RequireRegular(path);
            bytes = File.ReadAllBytes(path);
            json = JsonDocument.Parse(WithoutMark(bytes), new JsonDocumentOptions { AllowDuplicateProperties = false });
            CheckStrings(json.RootElement);
            return new JsonFields(source, path, json.RootElement, json);
        }
        catch (Exception e)
        {
            json?.Dispose();
            if (e is JsonException or InvalidOperationException)
                throw FileContent.Other(bytes) is var (found, advice) ? new HaloException(source, path, "a JSON file", found, advice, e)
                    : JsonDuplicate.Find(WithoutMark(bytes).Span) is { } twice
                    ? new HaloException(source, path, "each key of an object once", twice, "Remove one of the two, or fetch the file again.", e)
                    : new HaloException(source, path, "valid JSON", e.Message.TrimEnd('.'), "Correct it, or fetch the file again.", e);
            if (e is IOException or UnauthorizedAccessException)
                throw new HaloException(source, path, "a file that can be read", e.Message.TrimEnd('.'), "Check the path and its permissions.", e);
            throw;
        }
    }

    private static ReadOnlyMemory<byte> WithoutMark(byte[] bytes) => bytes.AsMemory(bytes.AsSpan().StartsWith("\uFEFF"u8) ? 3 : 0);

    internal HaloException Defect(string name, string expected, string found, Exception? inner = null) =>
        new(_source, $"{_subject}, '{name}'", expected, found, "Fetch the file again, or use one that has what is expected.", inner);

    /// <summary>A value that the format allows and Halo does not: fetching the file again would not help.</summary>
    internal HaloException Unsupported(string name, string expected, string found, Exception? inner = null) =>
        new(_source, $"{_subject}, '{name}'", expected, found, "Halo does not support it: use a model that has what is expected.", inner);

    internal JsonElement? Field(string name) => _element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>The object's fields in order.</summary>
    internal IEnumerable<JsonProperty> Properties => _element.EnumerateObject();

    internal JsonFields? Object(string name) => Field(name) is { } value ? new JsonFields(_source, $"{_subject}, '{name}'", value) : null;

    /// <summary>A view of an object that an array of this one holds.</summary>
    internal JsonFields Child(string name, JsonElement value) => new(_source, $"{_subject}, '{name}'", value);

    internal IReadOnlyList<JsonElement>? Array(string name) => Field(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : throw Defect(name, "a list", value.ValueKind.ToString());

    internal string? Text(string name) => Field(name) is { } value ? TextOf(name, value) : null;

    internal string TextOf(string name, JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Defect(name, "text", value.ValueKind.ToString());

    /// <summary>A whole number from 0.</summary>
    internal int? Whole(string name) => Field(name) is { } value ? WholeOf(name, value) : null;

    internal int WholeOf(string name, JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= 0 ? number
        : throw Defect(name, "a whole number from 0", value.GetRawText());

    /// <summary>A list of whole numbers from 0, or one of them; empty where there is none.</summary>
    internal IReadOnlyList<int> Wholes(string name) => Field(name) is not { } value ? []
        : value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(e => WholeOf(name, e))] : [WholeOf(name, value)];

    internal double? Number(string name) => Field(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && double.IsFinite(number) ? number
        : throw Defect(name, "a number", value.GetRawText());

    internal bool? Flag(string name) => Field(name) is not { } value ? null : value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Defect(name, "true or false", value.GetRawText()),
    };

    /// <summary>Reads every string once: bytes or escapes that are no Unicode throw here and nowhere later.</summary>
    private static void CheckStrings(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.String) value.GetString();
        if (value.ValueKind == JsonValueKind.Array) foreach (var item in value.EnumerateArray()) CheckStrings(item);
        if (value.ValueKind != JsonValueKind.Object) return;
        foreach (var property in value.EnumerateObject())
        {
            _ = property.Name;
            CheckStrings(property.Value);
        }
    }

    public void Dispose() => _owner?.Dispose();
}
