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
