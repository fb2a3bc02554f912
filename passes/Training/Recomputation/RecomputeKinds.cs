using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training.Recomputation;

/// <summary>Kinds of forward nodes that are cheap to compute again.</summary>
/// <remarks>Text: <c>norm+activation</c>; the kinds are those of <see cref="Operators"/>.</remarks>
public sealed class RecomputeKinds : IOptionText<RecomputeKinds>
{
    /// <summary>Operators by kind, whatever their domain.</summary>
    public static IReadOnlyDictionary<string, IReadOnlyList<string>> Operators { get; } = new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal)
    {
        ["norm"] = ["RmsNorm", "RMSNormalization", "SimplifiedLayerNormalization", "LayerNormalization"],
        ["activation"] = ["SwiGlu", "Sigmoid", "Tanh", "Erf", "Relu", "Softplus", "Swish", "Gelu", "QuickGelu"],
        ["rotary"] = ["RotaryEmbedding"],
        ["attention"] = ["Attention", "Softmax"],
        ["cast"] = ["Cast"],
        ["quantize"] = ["Quantize", "HadamardTransform"],
        ["elementwise"] = ["Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Reciprocal", "Exp", "Where", "ReduceMean", "ReduceSum", "ReduceMax"],
        ["view"] = ["Reshape", "Transpose", "Slice", "Concat", "Split", "Expand", "Squeeze", "Unsqueeze", "Flatten"],
    };

    private readonly IReadOnlyList<string> _names;

    private readonly HashSet<string> _operators;

    private RecomputeKinds(IReadOnlyList<string> names) => (_names, _operators) = (names, [.. names.SelectMany(n => Operators[n])]);

    public bool Includes(Node node) => _operators.Contains(node.OpType);

    public static RecomputeKinds Parse(string s, IFormatProvider? provider)
    {
        var names = s.Split('+', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var unknown = names.FirstOrDefault(n => !Operators.ContainsKey(n));
        if (names.Length == 0 || unknown is not null)
        {
            throw new HaloException("recompute", "kinds", $"some of {string.Join(", ", Operators.Keys)}", $"'{unknown ?? s}'",
                "Join kinds with +, as in \"norm+activation\".");
        }
        return new RecomputeKinds(names);
    }

    public override string ToString() => string.Join('+', _names);
}
