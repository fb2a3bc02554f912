using Halo.Analysis;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>Which axes of each product are rotated: a HALO level as data. [HALO, Table 1]</summary>
/// <remarks>
/// Text: <c>none</c>, <c>halo-0</c>, <c>halo-1</c>, <c>halo-2</c>, or axes by product, <c>F=K;E=N+M;G=N</c>; a product left out is not rotated.
/// K is the contracted axis: its rotations cancel inside the product. M and N are rotated on one operand and undone on the output.
/// </remarks>
public sealed class HaloScheme : IOptionText<HaloScheme>, IEquatable<HaloScheme>
{
    private static readonly (string Name, string Text)[] Named = [("none", ""), ("halo-0", ""), ("halo-1", "F=K;E=N;G=N"), ("halo-2", "F=K;E=N+M;G=N")];

    private readonly string _name;
    private readonly IReadOnlyDictionary<GemmRole, IReadOnlyList<GemmAxis>> _axes;

    private HaloScheme(string name, IReadOnlyDictionary<GemmRole, IReadOnlyList<GemmAxis>> axes) => (_name, _axes) = (name, axes);

    public static HaloScheme None { get; } = Parse("none");

    /// <summary>The axes to rotate, in the order they are applied.</summary>
    public IReadOnlyList<GemmAxis> this[GemmRole role] => _axes.GetValueOrDefault(role, []);

    /// <exception cref="HaloException">The text is no scheme.</exception>
    public static HaloScheme Parse(string s, IFormatProvider? provider = null)
    {
        var trimmed = s.Trim();
        var spelled = Named.FirstOrDefault(n => n.Name == trimmed).Text ?? (trimmed.Length > 0 ? trimmed : throw Wrong(s));
        var axes = new Dictionary<GemmRole, IReadOnlyList<GemmAxis>>();
        foreach (var part in spelled.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var sides = part.Split('=', StringSplitOptions.TrimEntries);
            if (sides.Length != 2 || !TryName(sides[0], out GemmRole role) || axes.ContainsKey(role))
                throw Wrong(s);
            var list = sides[1].Split('+', StringSplitOptions.TrimEntries).Select(a => TryName(a, out GemmAxis axis) ? axis : throw Wrong(s)).ToArray();
            axes.Add(role, list.Distinct().Count() == list.Length ? list : throw Wrong(s));
        }
        return axes.Count > 0 || spelled.Length == 0 ? new HaloScheme(trimmed, axes) : throw Wrong(s);
    }

    public bool Equals(HaloScheme? other) => other is not null && Enum.GetValues<GemmRole>().All(r => this[r].SequenceEqual(other[r]));

    public override bool Equals(object? obj) => Equals(obj as HaloScheme);

    public override int GetHashCode() =>
        Enum.GetValues<GemmRole>().Aggregate(0, (hash, role) => this[role].Aggregate(HashCode.Combine(hash, role), HashCode.Combine));

    /// <summary>The text it was read from.</summary>
    public override string ToString() => _name;

    /// <summary>Enum.TryParse also takes numbers, which are no axes.</summary>
    private static bool TryName<T>(string text, out T value) where T : struct, Enum => Enum.TryParse(text, out value) && Enum.GetName(value) == text;

    private static HaloException Wrong(string text) => new("scheme", $"'{text}'",
        "none, halo-0, halo-1, halo-2, or axes by product such as F=K;E=N+M;G=N", "an unknown scheme", "Use a name, or spell the axes M, N, K of F, E and G.");
}
