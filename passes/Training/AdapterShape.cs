using System.Globalization;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>What an adapter adds to a linear layer Y = X W^T.</summary>
public enum AdapterKind
{
    None,

    /// <summary>Y + s (X A^T) B^T. [Hu et al. 2021]</summary>
    Lora,

    /// <summary>(Y + s (X A^T) B^T) m / |W + s B A|, the lengths of rows, without a gradient of their own. [Liu et al. 2024, section 4.3]</summary>
    Dora,

    /// <summary>Y + s (X A^T) B^T + X S^T, S of elements at places that an input names. [Nikdan et al. 2024]</summary>
    Rosa,

    /// <summary>No adapter: the weights themselves, some rows of each at a time (<see cref="ChooseRows"/>).</summary>
    Efqat,
}

/// <summary>The adapter of one layer.</summary>
/// <param name="Kind">What it computes.</param>
/// <param name="Rank">Rows of A, columns of B.</param>
/// <param name="Scale">s.</param>
/// <param name="Elements">Of S.</param>
/// <remarks>Text: <c>none</c>, or kind, rank and scale: <c>lora 16 2</c>; of rosa also the number of elements.</remarks>
public sealed record AdapterShape(AdapterKind Kind, int Rank = 0, double Scale = 1, long Elements = 0) : IOptionText<AdapterShape>
{
    public static AdapterShape None { get; } = new(AdapterKind.None);

    public static AdapterShape Parse(string s, IFormatProvider? provider)
    {
        if (s == "none")
            return None;
        if (s.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var name, var rank, var scale] && (name is "lora" or "dora")
            && int.TryParse(rank, NumberStyles.None, CultureInfo.InvariantCulture, out var rows) && rows > 0
            && double.TryParse(scale, NumberStyles.Float, CultureInfo.InvariantCulture, out var factor) && double.IsFinite(factor))
            return new AdapterShape(name == "lora" ? AdapterKind.Lora : AdapterKind.Dora, rows, factor);
        if (s.Split(' ', StringSplitOptions.RemoveEmptyEntries) is ["rosa", var r, var by, var count] && Parse($"lora {r} {by}", provider) is var factors
            && long.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var elements) && elements > 0)
            return factors with { Kind = AdapterKind.Rosa, Elements = elements };
        throw new HaloException("adapter", $"'{s}'", "none, or kind (lora, dora), rank and scale", "another text", "Write for example 'lora 16 2'.");
    }

    public override string ToString() => Kind == AdapterKind.None ? "none"
        : string.Create(CultureInfo.InvariantCulture, $"{Kind.ToString().ToLowerInvariant()} {Rank} {Scale:R}{(Kind == AdapterKind.Rosa ? $" {Elements}" : "")}");
}
