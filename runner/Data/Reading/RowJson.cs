using System.Text.Json;
using System.Text.Unicode;
using Halo.Models.Json;

namespace Halo.Runner.Data.Reading;

/// <summary>The object of a row, or an object in it, with the place that errors name.</summary>
/// <param name="Element">The value.</param>
/// <param name="Place">Of the row.</param>
/// <param name="Name">Of an object within the row, with a dot behind it; empty for the row itself.</param>
internal readonly record struct RowJson(JsonElement Element, RowPlace Place, string Name = "")
{
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>Lets <paramref name="read"/> see the row's object.</summary>
    /// <exception cref="HaloException">No UTF-8, no JSON, a key twice, half a surrogate pair, or no object.</exception>
    internal static T Parse<T>(RawRow row, Func<RowJson, T> read)
    {
        if (!Utf8.IsValid(row.Bytes.Span)) throw Bad(row.Place, "UTF-8 text", "bytes that are not UTF-8", "Save the file as UTF-8.");
        try
        {
            using var document = JsonDocument.Parse(row.Bytes, Strict);
            return document.RootElement.ValueKind == JsonValueKind.Object ? read(new RowJson(document.RootElement, row.Place))
                : throw Bad(row.Place, "a JSON object", Kind(document.RootElement), "Write {\"messages\": [...]}.");
        }
        catch (InvalidOperationException e) // half of a surrogate pair in a name, which the check for duplicates reads
        {
            throw Bad(row.Place, "names in Unicode", "half of a surrogate pair", "Correct the escape.", e);
        }
        catch (JsonException e)
        {
            if (JsonDuplicate.Find(row.Bytes.Span) is { } twice)
                throw Bad(row.Place, "one whole JSON object, each key once", twice, "Remove one of the two.", e);
            throw Bad(row.Place, "one whole JSON object", $"invalid JSON at byte {e.BytePositionInLine} of line {e.LineNumber + 1} of the row",
                "Complete or remove the row.", e);
        }
    }

    /// <summary>Whether the field is there and not null.</summary>
    internal bool Has(string name) => Field(name) is not null;

    /// <summary>Null where the field is null or missing.</summary>
    internal JsonElement? Field(string name) =>
        Element.TryGetProperty(name, out var value) && value.ValueKind is not (JsonValueKind.Null or JsonValueKind.Undefined) ? value : null;

    /// <summary>The fields that are not null.</summary>
    internal IEnumerable<JsonProperty> Fields => Element.EnumerateObject().Where(p => p.Value.ValueKind != JsonValueKind.Null);

    /// <summary>The text of a field that has to be there.</summary>
    internal string Text(string name)
    {
        if (!Element.TryGetProperty(name, out var value)) throw Bad($"a field '{name}'{In}", Names(), "Add the field.");
        if (value.ValueKind != JsonValueKind.String) throw Bad($"{Called(name)} as a string", Kind(value), "Write it as a JSON string.");
        return Unicode(value, name);
    }

    /// <summary>The text of a field that may be missing or null.</summary>
    internal string? TextIfAny(string name) => Has(name) ? Text(name) : null;

    /// <summary>The objects of an array that has to be there.</summary>
    internal IEnumerable<RowJson> Objects(string name)
    {
        var self = this;
        return Items(name).Select((item, i) => item.ValueKind == JsonValueKind.Object ? new RowJson(item, self.Place, $"{self.Name}{name}[{i}].")
            : throw self.Bad($"{self.Name}{name}[{i}] as an object", Kind(item), "Write {\"role\": ..., \"content\": ...}."));
    }

    /// <summary>Throws where one of the fields says something that would not be honoured.</summary>
    internal void Refuse(IReadOnlySet<string> unhonoured, string only)
    {
        foreach (var field in Fields)
            if (unhonoured.Contains(field.Name))
                throw Bad($"only {only} of the fields that are rendered", $"'{field.Name}'", "Remove the field: it would not be honoured.");
    }

    /// <summary>Throws where an object within the row has other fields, unless they are null.</summary>
    internal void RefuseOthers(params IReadOnlyList<string> names)
    {
        foreach (var field in Fields)
            if (!names.Contains(field.Name))
                throw Bad($"only {string.Join(" and ", names.Select(n => $"'{n}'"))}{In}", $"'{field.Name}'", "Remove the field: it would not be honoured.");
    }

    internal HaloException Bad(string expected, string found, string advice, Exception? inner = null) => Bad(Place, expected, found, advice, inner);

    internal static HaloException Bad(RowPlace place, string expected, string found, string advice, Exception? inner = null) =>
        new(DataStream.Reader, $"{place}", expected, found, advice, inner);

    internal string Called(string name) => Name.Length == 0 ? $"'{name}'" : Name + name;

    internal static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Null => "null",
        JsonValueKind.True or JsonValueKind.False => "a truth value",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        JsonValueKind.Array => "an array",
        _ => "an object",
    };

    /// <summary>The fields that are there, for messages.</summary>
    internal string Names()
    {
        var names = Element.EnumerateObject().Select(p => $"'{p.Name}'").Take(8).ToArray();
        return names.Length == 0 ? "no field at all" : $"only {string.Join(", ", names)}";
    }

    private string In => Name.Length == 0 ? "" : $" in {Name.TrimEnd('.')}";

    private JsonElement.ArrayEnumerator Items(string name)
    {
        if (!Element.TryGetProperty(name, out var list)) throw Bad($"a field '{name}'{In}", Names(), "Add the field.");
        return list.ValueKind == JsonValueKind.Array ? list.EnumerateArray()
            : throw Bad($"{Called(name)} as an array", Kind(list), $"Write {{\"{name}\": [...]}}.");
    }

    private string Unicode(JsonElement value, string name)
    {
        try { return value.GetString()!; }
        catch (InvalidOperationException e) // half of a surrogate pair, written as \uD83D
        {
            throw Bad($"{Called(name)} as Unicode text", "half of a surrogate pair", "Correct the escape.", e);
        }
    }
}
