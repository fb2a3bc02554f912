using System.Text.Json;

namespace Halo.Models.Json;

/// <summary>Finds the key that stands twice in an object, which <see cref="JsonDocument"/> refuses without its place.</summary>
internal static class JsonDuplicate
{
    /// <returns>The key with the line and the byte of its second place, counted from 1; null where there is none or the text is no JSON.</returns>
    public static string? Find(ReadOnlySpan<byte> json)
    {
        try
        {
            var reader = new Utf8JsonReader(json);
            var open = new Stack<HashSet<string>>();
            while (reader.Read())
            {
                if (reader.TokenType == JsonTokenType.StartObject) open.Push([]);
                if (reader.TokenType == JsonTokenType.EndObject) open.Pop();
                if (reader.TokenType == JsonTokenType.PropertyName && !open.Peek().Add(reader.GetString()!))
                {
                    var before = json[..(int)reader.TokenStartIndex];
                    return $"a second '{reader.GetString()}' at line {before.Count((byte)'\n') + 1}, byte {before.Length - before.LastIndexOf((byte)'\n')}";
                }
            }
            return null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) { return null; }
    }
}
