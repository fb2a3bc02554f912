using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Infra;

namespace Halo.Passes.Training.Recomputation;

/// <summary>Kinds of forward nodes that are cheap to compute again.</summary>
/// <remarks>Text: <c>norm+activation</c>; the kinds are those of <see cref="RecomputeKind"/>, in lower case.</remarks>
public sealed class RecomputeKinds : IOptionText<RecomputeKinds>
{
    private static readonly Dictionary<string, RecomputeKind> Names =
        Enum.GetValues<RecomputeKind>().ToDictionary(k => k.ToString().ToLowerInvariant(), StringComparer.Ordinal);

    private readonly IReadOnlyList<string> _names;

    private readonly HashSet<RecomputeKind> _kinds;

    private RecomputeKinds(IReadOnlyList<string> names) => (_names, _kinds) = (names, [.. names.Select(n => Names[n])]);

    /// <summary>The text of each kind.</summary>
    public static IReadOnlyCollection<string> All => Names.Keys;

    public bool Includes(Node node) => node.Facts.Recompute is { } kind && _kinds.Contains(kind);

    public static RecomputeKinds Parse(string s, IFormatProvider? provider)
    {
        var names = s.Split('+', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var unknown = names.FirstOrDefault(n => !Names.ContainsKey(n));
        if (names.Length == 0 || unknown is not null)
        {
            throw new HaloException("recompute", "kinds", $"some of {string.Join(", ", Names.Keys)}", $"'{unknown ?? s}'",
                "Join kinds with +, as in \"norm+activation\".");
        }
        return new RecomputeKinds(names);
    }

    public override string ToString() => string.Join('+', _names);
}
