using Halo.Analysis;
using Halo.Ir;

namespace Halo.Passes.Training.Parameters;

/// <summary>Which initializers a forward graph uses as weights, by what reads them.</summary>
/// <remarks>
/// The embedding is a table that input_ids index. What depends on it is an activation. A weight is a matrix multiplied with an activation, or a vector
/// combined with one by a norm or an elementwise operator. RoPE frequencies meet positions only, and masks have other ranks: both are constants.
/// </remarks>
internal static class WeightUses
{
    private static readonly HashSet<string> Combining = new(StringComparer.Ordinal) { "Mul", "Add", "Sub", "Div", "RMSNormalization", "LayerNormalization" };

    /// <summary>The weights, in the order of their first use.</summary>
    public static IReadOnlyList<Value> In(Graph graph)
    {
        var weights = new OrderedDictionary<Value, bool>();
        var activations = new HashSet<Value>();
        foreach (var node in graph.Nodes)
        {
            foreach (var (input, index) in node.Inputs.Select((v, i) => (v, i)))
            {
                if (input is not null && Source(input) is { } source && !weights.ContainsKey(source) && IsWeight(node, index, source, activations))
                    weights.Add(source, true);
            }
            if (node.Inputs.Any(v => v is not null && activations.Contains(v)) || (node.Is("Gather") && weights.ContainsKey(node.Inputs[0]!)))
                activations.UnionWith(node.Outputs.Where(o => o.Type.IsFloat() || o.Type == ElementType.Undefined));
        }
        return [.. weights.Keys];
    }

    /// <summary>Whether a matrix initializer is read by a product or as a table, whoever the other operand is.</summary>
    public static bool IsMatrixOfProduct(Value initializer) => Readers(initializer).Any(u => u.Node.Is("MatMul") || u.Node.Is("Gemm"));

    public static bool IsTable(Value initializer) => initializer.Uses.Any(u => u.Node.Is("Gather") && u.Index == 0);

    /// <summary>A float initializer of more than one element, seen through what only moves or casts elements.</summary>
    private static Value? Source(Value value)
    {
        var root = OperandTrace.Root(value);
        return root is { Initializer: { } tensor, IsGraphInput: false } && tensor.Type.IsFloat() && tensor.ElementCount > 1 ? root : null;
    }

    private static bool IsWeight(Node node, int index, Value source, HashSet<Value> activations)
    {
        var rank = source.Initializer!.Sizes.Count;
        if (node.Is("Gather"))
            return rank == 2 && index == 0 && OperandTrace.Root(node.Inputs[1]!) is { IsGraphInput: true, Name: TrainingNames.InputIds };
        if (!node.Inputs.Any(v => v is not null && activations.Contains(v)))
            return false;
        return node.Is("MatMul") || node.Is("Gemm") ? rank == 2 || (rank == 1 && index == 2)
            : rank == 1 && Combining.Contains(node.OpType) && node.Is(node.OpType);
    }

    private static IEnumerable<Use> Readers(Value value) => value.Uses.SelectMany(u => OperandTrace.IsView(u.Node) ? Readers(u.Node.Output) : [u]);
}
