using System.IO.Enumeration;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>Settings for some layers only: the first rule whose pattern matches the layer's name wins.</summary>
/// <remarks>Text: <c>PATTERN: SETTING | PATTERN: SETTING</c>, with * and ? in patterns; <c>*.down_proj: halo-2 | model.layers.0.*: none</c>.</remarks>
public sealed class LayerRules<T> : IOptionText<LayerRules<T>> where T : class, IOptionText<T>
{
    private readonly IReadOnlyList<(string Pattern, T Setting)> _rules;

    public LayerRules(IReadOnlyList<(string Pattern, T Setting)> rules) => _rules = rules;

    public bool IsEmpty => _rules.Count == 0;

    /// <summary>The setting for a layer, or <paramref name="otherwise"/>.</summary>
    public T For(string layer, T otherwise)
    {
        foreach (var (pattern, setting) in _rules)
        {
            if (FileSystemName.MatchesSimpleExpression(pattern, layer, ignoreCase: false))
                return setting;
        }
        return otherwise;
    }

    /// <summary>Every rule is the first that matches some layer, so that what was asked for is done.</summary>
    /// <param name="pass">Whose rules these are.</param>
    /// <param name="layers">Names of the layers that it works on.</param>
    /// <param name="heads">Names of those that it leaves as they are.</param>
    /// <param name="otherwise">The setting of other layers.</param>
    /// <exception cref="HaloException">A rule has no effect.</exception>
    public void Check(string pass, IReadOnlyList<string> layers, IReadOnlyList<string> heads, T otherwise)
    {
        foreach (var (at, (pattern, setting)) in _rules.Index())
        {
            bool Matches(string name) => FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);
            var matched = layers.Where(Matches).ToList();
            if (matched.Count == 0)
            {
                if (heads.Any(Matches) && (setting.ToString() == otherwise.ToString() || setting.ToString() == "none"))
                    continue;
                var nearest = NearestName.OfPattern(pattern, layers);
                throw new HaloException(pass, $"rule '{pattern}: {setting}'", "a pattern that matches linear layers",
                    heads.Any(Matches) ? "one of heads alone, which stay in full precision" : "one that matches none",
                    nearest is null ? $"Layers are named such as '{layers[0]}'." : $"Did you mean '{nearest}'?");
            }
            bool TakesAll(string earlier) => matched.All(m => FileSystemName.MatchesSimpleExpression(earlier, m, ignoreCase: false));
            if (_rules.Take(at).FirstOrDefault(r => TakesAll(r.Pattern)).Pattern is { } first)
            {
                throw new HaloException(pass, $"rule '{pattern}: {setting}'", "layers that no rule before it takes", $"all {matched.Count} taken by '{first}'",
                    "The first rule that matches wins: put the narrower one in front.");
            }
        }
    }

    public static LayerRules<T> Parse(string s, IFormatProvider? provider) => new([
        .. s.Split('|', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(rule =>
        {
            var colon = rule.IndexOf(':', StringComparison.Ordinal);
            if (colon <= 0)
                throw new HaloException("layers", $"'{rule}'", "PATTERN: SETTING", "no colon", "Write for example '*.down_proj: halo-2'.");
            return (rule[..colon].Trim(), T.Parse(rule[(colon + 1)..].Trim(), provider));
        }),
    ]);

    public override string ToString() => string.Join(" | ", _rules.Select(r => $"{r.Pattern}: {r.Setting}"));
}
