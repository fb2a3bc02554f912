using Halo.Text;

namespace Halo.Passes.Infra;

/// <summary>Names that are meant by patterns with * and ?.</summary>
/// <remarks>Text: <c>PATTERN | PATTERN</c>, such as <c>model.embed_tokens.weight | *.bias</c>; <c>!PATTERN</c> means all other names.</remarks>
public sealed class NamePatterns : IOptionText<NamePatterns>
{
    private readonly IReadOnlyList<string> _patterns;

    public NamePatterns(IReadOnlyList<string> patterns) => _patterns = patterns;

    public bool Matches(string name) => _patterns.Any(p => NamePattern.Matches(p, name));

    /// <summary>The patterns that match none of the names.</summary>
    public IReadOnlyList<string> Unmatched(IReadOnlyCollection<string> names) =>
        [.. _patterns.Where(p => !names.Any(n => NamePattern.Matches(p, n)))];

    public static NamePatterns Parse(string s, IFormatProvider? provider) =>
        new(NamePattern.Split(s));

    public override string ToString() => string.Join(" | ", _patterns);
}
