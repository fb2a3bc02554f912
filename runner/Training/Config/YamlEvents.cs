using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Halo.Runner.Training.Config;

/// <summary>Looks through the events of a YAML text before objects are made of it: these would recurse as deep as the text asks for.</summary>
internal static class YamlEvents
{
    /// <summary>Settings have some 40 lines and three levels.</summary>
    internal const int MaxSizeBytes = 1 << 20;

    private const int MaxDepth = 16, MaxEvents = 100_000;

    /// <exception cref="HaloException">No YAML, or one that is deeper or longer than settings are, or whose keys are no text; the line is named.</exception>
    internal static void Check(string reader, string name, string text)
    {
        if (text.Length > MaxSizeBytes) throw Refused(reader, name, 1, $"at most {MaxSizeBytes} characters", $"{text.Length}");
        var open = new Stack<Level>();
        var (events, line) = (0, 1L);
        try
        {
            var parser = new Parser(new StringReader(text));
            while (parser.MoveNext())
            {
                var at = parser.Current!;
                line = at.Start.Line;
                if (++events > MaxEvents) throw Refused(reader, name, line, $"at most {MaxEvents} keys, values and lists", "more");
                if (at is MappingEnd or SequenceEnd) open.Pop();
                if (at is not NodeEvent) continue;
                if (open.TryPeek(out var level) && level.IsMapping)
                {
                    if (level.IsKeyNext && at is not Scalar { Value.Length: > 0 })
                        throw Refused(reader, name, line, "a key that is text", at is Scalar ? "none" : "a list, a mapping or an alias");
                    level.IsKeyNext = !level.IsKeyNext;
                }
                if (at is MappingStart or SequenceStart) open.Push(new Level(at is MappingStart));
                if (open.Count > MaxDepth) throw Refused(reader, name, line, $"at most {MaxDepth} levels", "more");
            }
        }
        catch (Exception e) when (e is YamlException or ArgumentException or InvalidOperationException)
        {
            throw Invalid(reader, name, e, line);
        }
    }

    /// <summary>What the library says of a text that is no YAML; it has exceptions of its own, and others where it did not think of the text.</summary>
    internal static HaloException Invalid(string reader, string name, Exception e, long line)
    {
        var at = e is YamlException yaml ? yaml.Start.Line : line;
        var found = e is YamlException ? e.Message.TrimEnd('.') : "text that is none";
        return new HaloException(reader, at > 0 ? $"{name}, line {at}" : name, "valid YAML", found.ReplaceLineEndings(" "), "Correct the line.", e);
    }

    private static HaloException Refused(string reader, string name, long line, string expected, string found) =>
        new(reader, $"{name}, line {line}", expected, found, "Write settings as 'key: value'.");

    private sealed class Level(bool isMapping)
    {
        internal bool IsMapping => isMapping;

        internal bool IsKeyNext { get; set; } = true;
    }
}
