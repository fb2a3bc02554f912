using System.IO.Enumeration;

namespace Halo.Text;

/// <summary>Names that are meant by a pattern with * and ?; <c>!PATTERN</c> means all other names.</summary>
internal static class NamePattern
{
    public static bool Matches(string pattern, string name) => pattern.StartsWith('!')
        ? !FileSystemName.MatchesSimpleExpression(pattern.AsSpan(1), name, ignoreCase: false)
        : FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);

    /// <summary>The patterns of a text that has | between them.</summary>
    public static string[] Split(string text) => text.Split('|', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
