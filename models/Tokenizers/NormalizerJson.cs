using System.Text.RegularExpressions;
using Halo.Models.Json;

namespace Halo.Models.Tokenizers;

/// <summary>The <c>normalizer</c>: form C, texts put before, texts put in place of others.</summary>
internal static class NormalizerJson
{
    /// <summary>The steps in their order; none where nothing is changed.</summary>
    internal static IReadOnlyList<Func<MappedText, MappedText>> Read(JsonFields json)
    {
        if (json.Object("normalizer") is not { } top)
            return [];
        var steps = top.Text("type") == "Sequence" ? [.. (top.Array("normalizers") ?? []).Select(item => top.Child("normalizers", item))] : new[] { top };
        return [.. steps.Select(Step)];
    }

    private static Func<MappedText, MappedText> Step(JsonFields step)
    {
        switch (step.Text("type"))
        {
            case "NFC":
                return CanonicalForms.Compose;
            case "Prepend":
                var prefix = step.Text("prepend") ?? throw step.Defect("prepend", "text", "none");
                return text => text.Prepend(prefix);
            case "Replace":
                var (pattern, content) = (PatternJson.Read(step), step.Text("content") ?? throw step.Defect("content", "text", "none"));
                return text => text.Replace(pattern, content);
            case var other:
                throw step.Unsupported("type", "NFC, Prepend or Replace in the normalizer", other ?? "none");
        }
    }
}

/// <summary>A <c>pattern</c>: a Regex, or a String that is found as it stands.</summary>
internal static class PatternJson
{
    /// <summary>Patterns of real files are below 1000 characters.</summary>
    private const int MaxLength = 8192;

    internal static Regex Read(JsonFields step)
    {
        var pattern = step.Object("pattern") ?? throw step.Defect("pattern", "a Regex or String", "none");
        var text = pattern.Text("Regex") ?? Regex.Escape(pattern.Text("String") ?? throw pattern.Defect("Regex", "a pattern", "none"));
        if (text.Length == 0) throw pattern.Defect("Regex", "a pattern", "an empty one");
        return Compile(pattern, text);
    }

    internal static Regex Compile(JsonFields where, string pattern)
    {
        if (pattern.Any(char.IsSurrogate)) throw where.Unsupported("Regex", "characters up to U+FFFF", pattern);
        if (pattern.Length > MaxLength) throw where.Unsupported("Regex", $"at most {MaxLength} characters", $"{pattern.Length}");
        try { return new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.Compiled, TimeSpan.FromSeconds(PreTokenizer.MatchSeconds)); }
        catch (Exception e) when (e is ArgumentException or NotSupportedException or InsufficientExecutionStackException)
        {
            throw where.Unsupported("Regex", "a pattern that .NET can match", pattern, e);
        }
    }
}
