using System.Text.Json;
using Halo.Graph;

namespace Halo.Models.HuggingFace;

/// <summary>Typed access to the fields of a JSON object in a file; null fields count as absent, and every defect names file and field.</summary>
internal sealed class JsonFields : IDisposable
{
    private readonly JsonDocument? owner;
    private readonly JsonElement element;
    private readonly string source, subject;

    private JsonFields(string source, string subject, JsonElement element, JsonDocument? owner = null)
    {
        (this.source, this.subject, this.element, this.owner) = (source, subject, element, owner);
        if (element.ValueKind != JsonValueKind.Object) throw new HaloException(source, subject, "a JSON object", element.ValueKind.ToString(), "Fetch the file again.");
    }

    /// <param name="source">Who complains, in kebab-case.</param>
    /// <param name="path">The file.</param>
    internal static JsonFields Open(string source, string path)
    {
        JsonDocument? json = null;
        try
        {
            json = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { AllowDuplicateProperties = false });
            return new JsonFields(source, path, json.RootElement, json);
        }
        catch (Exception e)
        {
            json?.Dispose();
            if (e is JsonException) throw new HaloException(source, path, "valid JSON", e.Message.TrimEnd('.'), "Fetch the file again.", e);
            if (e is IOException or UnauthorizedAccessException)
                throw new HaloException(source, path, "a file that can be read", e.Message.TrimEnd('.'), "Check the path and its permissions.", e);
            throw;
        }
    }

    internal HaloException Defect(string name, string expected, string found, Exception? inner = null) =>
        new(source, $"{subject}, '{name}'", expected, found, "Fetch the file again, or use one that has what is expected.", inner);

    internal JsonElement? Field(string name) => element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>The object's fields in order.</summary>
    internal IEnumerable<string> Names => element.EnumerateObject().Select(Name);

    internal string Name(JsonProperty property)
    {
        try { return property.Name; }
        catch (InvalidOperationException e) { throw Defect("", "field names in UTF-8", "other bytes", e); }
    }

    internal JsonFields? Object(string name) => Field(name) is { } value ? new JsonFields(source, $"{subject}, '{name}'", value) : null;

    /// <summary>A view of an object that an array of this one holds.</summary>
    internal JsonFields Child(string name, JsonElement value) => new(source, $"{subject}, '{name}'", value);

    internal IReadOnlyList<JsonElement>? Array(string name) => Field(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : throw Defect(name, "a list", value.ValueKind.ToString());

    internal string? Text(string name) => Field(name) is { } value ? TextOf(name, value) : null;

    internal string TextOf(string name, JsonElement value)
    {
        try { return value.GetString() ?? throw Defect(name, "text", "null"); }
        catch (InvalidOperationException e) { throw Defect(name, "text in UTF-8", value.ValueKind.ToString(), e); }
    }

    /// <summary>A whole number from 0.</summary>
    internal int? Whole(string name) => Field(name) is { } value ? WholeOf(name, value) : null;

    internal int WholeOf(string name, JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= 0 ? number
        : throw Defect(name, "a whole number from 0", value.GetRawText());

    internal double? Number(string name) => Field(name) is not { } value ? null
        : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && double.IsFinite(number) ? number
        : throw Defect(name, "a number", value.GetRawText());

    internal bool? Flag(string name) => Field(name) is not { } value ? null : value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Defect(name, "true or false", value.GetRawText()),
    };

    public void Dispose() => owner?.Dispose();
}
