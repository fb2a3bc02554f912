using System.Text.RegularExpressions;

namespace Halo.Models.Adapters;

/// <summary>How PEFT matches names of modules. [PEFT, check_target_module_exists, get_pattern_key]</summary>
internal static class ModulePatterns
{
    /// <summary>Patterns come from files: one that runs away is an error.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    /// <summary>Whether a module of the base gets an adapter, leaving aside what <c>all-linear</c> means.</summary>
    public static bool IsTarget(AdapterConfig config, string module)
    {
        if (config.ExcludedPattern is { } excluded ? Matches($"^(?:{excluded})$", module) : EndsWithAny(config.Excluded, module))
            return false;
        if (config.SavedModules.Any(m => IsSaved(m, module)))
            return false;
        if (config.TargetPattern is { } pattern)
            return Matches($"^(?:{pattern})$", module);
        if (config.Targets.Contains(module, StringComparer.Ordinal))
            return true;
        return EndsWithAny(config.Targets, module) && (config.Layers is not { } layers || (LayerOf(config, module) is { } at && layers.Contains(at)));
    }

    /// <summary>Whether a module is one that is trained as a whole, or inside it.</summary>
    public static bool IsSaved(string saved, string module) => Matches($@"^(?:.*\.)?(?:{saved})(?:$|\..*)", module);

    /// <summary>The value of the first pattern that a module's name ends in.</summary>
    public static T Find<T>(IReadOnlyList<KeyValuePair<string, T>> patterns, string module, T otherwise)
    {
        foreach (var (pattern, value) in patterns)
        {
            if (Matches($@"^(?:.*\.)?(?:{pattern})$", module))
                return value;
        }
        return otherwise;
    }

    private static int? LayerOf(AdapterConfig config, string module)
    {
        string[] patterns = config.LayersPattern.Count == 0 ? [@"[^.]*"] : [.. config.LayersPattern];
        foreach (var pattern in patterns)
        {
            if (Match($@"^.*\.{pattern}\.(\d+)\.", module) is { Success: true } match)
                return int.Parse(match.Groups[^1].ValueSpan, provider: null);
        }
        return null;
    }

    private static bool EndsWithAny(IReadOnlyList<string> ends, string module) =>
        ends.Any(e => module == e || module.EndsWith("." + e, StringComparison.Ordinal));

    private static bool Matches(string pattern, string text) => Match(pattern, text).Success;

    private static Match Match(string pattern, string text)
    {
        try
        {
            return Regex.Match(text, pattern, RegexOptions.CultureInvariant, Limit);
        }
        catch (Exception e) when (e is RegexParseException or RegexMatchTimeoutException)
        {
            throw new HaloException("adapter", $"pattern '{pattern}'", "a regular expression",
                e is RegexParseException ? e.Message.TrimEnd('.') : "one that takes too long", "Correct it in the adapter's config.", e);
        }
    }
}
