using Halo.Analysis;
using Halo.CustomOps;
using Halo.Passes.Infra;

namespace Halo.Passes.Rewrite;

/// <summary>The number format of each product's operands.</summary>
/// <remarks>
/// Text: a format for all (<c>none</c>, <c>fp8</c>, <c>int8</c>, <c>fp6</c>, ...), or left and right operand by product:
/// <c>F=e4m3,e4m3;E=e5m2,e4m3;G=e5m2,e4m3</c>; a product left out keeps its type. Left and right are X, W in F; E_Y, W in E; E_Y, X in G.
/// </remarks>
public sealed class GemmFormats : IOptionText<GemmFormats>
{
    private readonly string _text;
    private readonly IReadOnlyDictionary<GemmRole, (NumberFormat Left, NumberFormat Right)> _formats;

    private GemmFormats(string text, IReadOnlyDictionary<GemmRole, (NumberFormat, NumberFormat)> formats) => (_text, _formats) = (text, formats);

    public static GemmFormats None { get; } = Parse("none");

    /// <summary>The formats of a product's operands; null where it keeps its type.</summary>
    public (NumberFormat Left, NumberFormat Right)? this[GemmRole role] => _formats.TryGetValue(role, out var formats) ? formats : null;

    /// <summary>The formats in use, each once.</summary>
    public IEnumerable<NumberFormat> All => _formats.Values.SelectMany(f => new[] { f.Left, f.Right }).Distinct();

    /// <exception cref="HaloException">The text names no format.</exception>
    public static GemmFormats Parse(string s, IFormatProvider? provider = null)
    {
        var trimmed = s.Trim();
        var formats = new Dictionary<GemmRole, (NumberFormat, NumberFormat)>();
        if (!trimmed.Contains('='))
        {
            if (NumberFormat.Parse(trimmed) is { } one)
                formats = Enum.GetValues<GemmRole>().ToDictionary(r => r, _ => (one, one));
            return new GemmFormats(trimmed, formats);
        }
        foreach (var part in trimmed.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            var sides = part.Split('=', StringSplitOptions.TrimEntries);
            var names = sides.Length == 2 ? sides[1].Split(',', StringSplitOptions.TrimEntries) : [];
            if (names.Length != 2 || !Enum.TryParse(sides[0], out GemmRole role) || Enum.GetName(role) != sides[0] || formats.ContainsKey(role))
                throw Wrong(s, $"'{part}'");
            var (left, right) = (NumberFormat.Parse(names[0]), NumberFormat.Parse(names[1]));
            if (left is null != right is null)
                throw Wrong(s, $"one operand of {role} in 8 bits and one not");
            if (left is not null && (left.CodeType == Ir.ElementType.Int8) != (right!.CodeType == Ir.ElementType.Int8))
                throw Wrong(s, $"an integer and a float operand in {role}");
            if (left is not null)
                formats.Add(role, (left, right!));
        }
        return new GemmFormats(trimmed, formats);
    }

    public override string ToString() => _text;

    private static HaloException Wrong(string text, string found) => new("format", $"'{text}'",
        "a format for all products, or left and right operand by product such as F=e4m3,e4m3;E=e5m2,e4m3;G=e5m2,e4m3", found,
        "Name both operands of a product, from none, fp8, fp6, int8, e4m3, e5m2, e3m2.");
}
