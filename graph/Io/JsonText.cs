using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Halo.Io;

/// <summary>The forms of JSON that Halo writes, and reads again.</summary>
internal static class JsonText
{
    /// <summary>Files that people read: indented, names of records in snake_case, no letter escaped that need not be.</summary>
    public static JsonSerializerOptions Readable { get; } = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>As <see cref="Readable"/>, read strictly: all of a record's constructor's parameters there and none null that may not be.</summary>
    public static JsonSerializerOptions Strict { get; } = new(Readable) { RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true };

    /// <summary>Files of other programs, as those write them: indented, names as they stand, letters beyond ASCII escaped.</summary>
    public static JsonSerializerOptions Indented { get; } = new() { WriteIndented = true, NewLine = "\n" };

    /// <summary>The same, names of records in snake_case.</summary>
    public static JsonSerializerOptions IndentedSnake { get; } = new(Indented) { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>A line each: names as they stand, what is null left out.</summary>
    public static JsonSerializerOptions Line { get; } = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>A line of a log: names of records and enums in snake_case, what is null left out, NaN and infinities by name.</summary>
    public static JsonSerializerOptions LogLine { get; } = new(Line)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    /// <summary>A record within other text, read strictly: names in camelCase, all of the constructor's parameters there and none null that may not be.</summary>
    public static JsonSerializerOptions Embedded { get; } = new(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };
}
