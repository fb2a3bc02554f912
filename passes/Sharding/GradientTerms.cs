using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Sharding;

/// <summary>What a table's gradient is the sum of.</summary>
/// <param name="Sum">The gradient, before it is weighted and summed over ranks.</param>
/// <param name="Weight">This rank's.</param>
/// <param name="Lookups">Its terms that are gradients of rows that were looked up, each a node <see cref="EmbeddingGrad"/>.</param>
internal sealed record GradientTerms(Value Sum, Value Weight, IReadOnlyList<Node> Lookups)
{
    /// <summary>Of what <paramref name="start"/> sums over ranks; null where it is no product with the rank's weight.</summary>
    public static GradientTerms? Of(Node start) => start.Inputs[0]!.Producer is { } product && product.Is("Mul") && WeightOf(product.Inputs[1]!) is { } weight
        ? new GradientTerms(product.Inputs[0]!, weight, [.. LookupsOf(product.Inputs[0]!)]) : null;

    /// <summary>Whether it has other terms.</summary>
    public bool HasOthers => HasOther(Sum);

    /// <summary>Makes the sum of the other terms; null where there are none.</summary>
    public Value? Dense() => Dense(Sum);

    private static bool HasOther(Value value) => !IsLookup(value) && (!IsStep(value) || value.Producer!.Inputs.Any(i => HasOther(i!)));

    private static Value? Dense(Value value)
    {
        if (!LookupsOf(value).Any())
            return value;
        if (IsLookup(value))
            return null;
        var node = value.Producer!;
        var rest = node.Inputs.Select(i => Dense(i!)).OfType<Value>().ToArray();
        return rest.Length == 0 || (node.Is("Add") && rest.Length == 1) ? rest.FirstOrDefault()
            : GraphBuilder.After(node).Op("dense", node.OpType, rest, [.. node.Attributes.Values]);
    }

    private static Value? WeightOf(Value factor) => factor.Name == TrainingNames.GradientWeight ? factor
        : factor.Producer is { } cast && cast.Is("Cast") ? WeightOf(cast.Inputs[0]!) : null;

    private static IEnumerable<Node> LookupsOf(Value value) => IsLookup(value) ? [value.Producer!]
        : IsStep(value) ? value.Producer!.Inputs.SelectMany(i => LookupsOf(i!)) : [];

    private static bool IsLookup(Value value) => IsReadOnce(value) && value.Producer is { } node && node.Is(nameof(EmbeddingGrad), HaloDomain.Name)
        && !node.Attributes.ContainsKey("of");

    private static bool IsStep(Value value) => IsReadOnce(value) && value.Producer is { } node
        && (node.Is("Add") || (node.Is("Cast") && node.Inputs[0]!.Type.IsFloat())) && node.Inputs.All(i => i!.Shape is { } shape && shape.Equals(value.Shape));

    private static bool IsReadOnce(Value value) => value is { Uses.Count: 1, IsGraphOutput: false };
}
