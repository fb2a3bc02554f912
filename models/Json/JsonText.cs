using System.Text.Encodings.Web;
using System.Text.Json;

namespace Halo.Models.Json;

/// <summary>The form of JSON files that people read.</summary>
public static class JsonText
{
    /// <summary>Indented, names of records in snake_case, no letter escaped that need not be.</summary>
    public static JsonSerializerOptions Readable { get; } = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };
}
