using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Operators whose gradients read codes of what the forward part computed.</summary>
/// <remarks>Text: <c>swiglu+norms</c>; <c>all</c> is all of them.</remarks>
public sealed class SavedInputs : IOptionText<SavedInputs>
{
    private static readonly (string Name, string OpType, int[] Inputs)[] Kinds =
        [("swiglu", nameof(SwiGluGrad), [1, 2]), ("norms", nameof(RmsNormGrad), [1]), ("attention", nameof(AttentionGrad), [1, 2, 3, 4])];

    private readonly IReadOnlyList<string> _names;

    private SavedInputs(IReadOnlyList<string> names) => _names = names;

    /// <summary>The inputs of a gradient that are activations of the forward part; none where its operator is not among those named, or reads codes.</summary>
    public IReadOnlyList<int> InputsOf(Node node) => node.Domain != HaloDomain.Name ? []
        : Kinds.FirstOrDefault(k => k.OpType == node.OpType && _names.Contains(k.Name)).Inputs is { } inputs
            && inputs.All(i => node.Inputs[i]!.Type.IsFloat()) ? inputs : [];

    public static SavedInputs Parse(string s, IFormatProvider? provider)
    {
        var names = s == "all" ? [.. Kinds.Select(k => k.Name)] : s.Split('+', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var unknown = names.FirstOrDefault(n => !Kinds.Any(k => k.Name == n));
        if (names.Length == 0 || unknown is not null)
        {
            throw new HaloException("save-codes", "saved codes", $"all, or some of {string.Join(", ", Kinds.Select(k => k.Name))}", $"'{unknown ?? s}'",
                "Join them with +, as in \"swiglu+norms\".");
        }
        return new SavedInputs(names);
    }

    public override string ToString() => string.Join('+', _names);
}
