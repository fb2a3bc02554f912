using System.Text;

namespace Halo.Passes.Infra;

/// <summary>Pipelines as text: <c>fold-constants,rotate-operands{scheme=halo-2},quantize-operands{scheme="F=K;E=N+M;G=N" format=fp8}</c>.</summary>
/// <remarks>
/// Passes are separated by commas, options by blanks. A value with anything but letters, digits and <c>- _ . : /</c> stands in double
/// quotes, where a backslash takes the next character as it is.
/// </remarks>
public static class PipelineParser
{
    private const string Who = "parse-pipeline";

    /// <exception cref="HaloException">The text has a mistake, or names a pass or an option that is not there.</exception>
    public static IReadOnlyList<IGraphPass> Parse(string text)
    {
        var passes = new List<IGraphPass>();
        var at = 0;
        SkipBlanks(text, ref at);
        while (at < text.Length)
        {
            passes.Add(ParsePass(text, ref at));
            SkipBlanks(text, ref at);
            if (at == text.Length)
                break;
            Expect(text, ref at, ',');
            SkipBlanks(text, ref at);
            if (at == text.Length)
                throw Mistake(text, at, "a pass after the comma");
        }
        return passes;
    }

    /// <summary>The text that <see cref="Parse"/> turns into the same passes; options at their defaults are left out.</summary>
    public static string ToText(IReadOnlyList<IGraphPass> passes) => string.Join(",", passes.Select(p => p.Name + OptionsText(p)));

    /// <summary>A pass's options with their braces; empty if there are none to tell.</summary>
    public static string OptionsText(IGraphPass pass, bool withDefaults = false)
    {
        var options = PassOption.Of(pass.GetType())
            .Select(o => (Option: o, Value: o.Read(pass)))
            .Where(o => o.Value is not null && (withDefaults || o.Value != o.Option.DefaultText))
            .Select(o => $"{o.Option.Name}={Quote(o.Value!)}");
        var text = string.Join(" ", options);
        return text.Length == 0 ? "" : $"{{{text}}}";
    }

    private static IGraphPass ParsePass(string text, ref int at)
    {
        var name = Word(text, ref at, "the name of a pass");
        var type = PassOption.FindPass(name);
        var given = new Dictionary<string, string>(StringComparer.Ordinal);
        SkipBlanks(text, ref at);
        if (at < text.Length && text[at] == '{')
        {
            at++;
            SkipBlanks(text, ref at);
            while (at < text.Length && text[at] != '}')
            {
                var option = Word(text, ref at, "the name of an option");
                SkipBlanks(text, ref at);
                Expect(text, ref at, '=');
                SkipBlanks(text, ref at);
                var value = at < text.Length && text[at] == '"' ? Quoted(text, ref at) : Word(text, ref at, "a value");
                if (!given.TryAdd(option, value))
                    throw new HaloException(Who, $"option '{option}' of {name}", "it once", "it twice", "Give each option once.");
                SkipBlanks(text, ref at);
            }
            Expect(text, ref at, '}');
        }
        return PassOption.Make(type, name, given);
    }

    private static string Word(string text, ref int at, string what)
    {
        var start = at;
        while (at < text.Length && IsWord(text[at]))
            at++;
        return at > start ? text[start..at] : throw Mistake(text, at, what);
    }

    private static string Quoted(string text, ref int at)
    {
        var value = new StringBuilder();
        for (at++; at < text.Length && text[at] != '"'; at++)
        {
            if (text[at] == '\\' && at + 1 < text.Length)
                at++;
            value.Append(text[at]);
        }
        Expect(text, ref at, '"');
        return value.ToString();
    }

    private static string Quote(string value) =>
        value.Length > 0 && value.All(IsWord) ? value : $"\"{value.Replace("\\", "\\\\").Replace("\"", "\\\"")}\"";

    private static bool IsWord(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or ':' or '/';

    private static void SkipBlanks(string text, ref int at)
    {
        while (at < text.Length && char.IsWhiteSpace(text[at]))
            at++;
    }

    private static void Expect(string text, ref int at, char c)
    {
        if (at >= text.Length || text[at] != c)
            throw Mistake(text, at, $"'{c}'");
        at++;
    }

    private static HaloException Mistake(string text, int at, string expected) =>
        new(Who, $"'{text}' at character {at + 1}", expected, at < text.Length ? $"'{text[at..Math.Min(text.Length, at + 12)]}'" : "the end",
            "A pipeline reads like 'fold-splats,fold-constants{max-bytes=1024}'.");
}
