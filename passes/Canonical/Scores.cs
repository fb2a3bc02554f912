using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>What a softmax is taken of: a product of queries and keys with a factor and masks.</summary>
internal sealed record Scores(Node Product, double Factor, IReadOnlyList<MaskPart> Masks)
{
    /// <summary>Goes back from <paramref name="value"/> to the product; null where anything else lies between, or an inner value is read elsewhere.</summary>
    /// <remarks>Factors behind a mask scale what it adds too, which leaves hidden what was hidden.</remarks>
    public static Scores? Of(Value value)
    {
        if (value.OnlyUser is null || value.Producer is not { } node)
            return null;
        switch (node.OpType)
        {
            case "MatMul" when node.Is("MatMul"):
                return new Scores(node, 1, []);
            case "Cast" or "Identity" or "Reshape":
                return Of(node.Inputs[0]!);
            case "Mul" when node.Inputs[1]?.Number() is { } factor && factor > 0:
                return Scaled(node.Inputs[0]!, factor);
            case "Mul" when node.Inputs[0]?.Number() is { } factor && factor > 0:
                return Scaled(node.Inputs[1]!, factor);
            case "Div" when node.Inputs[1]?.Number() is { } divisor && divisor > 0:
                return Scaled(node.Inputs[0]!, 1 / divisor);
            case "Add" when Of(node.Inputs[0]!) is { } left:
                return left.With(new MaskPart(node.Inputs[1]!, Hides: false), node);
            case "Add" when Of(node.Inputs[1]!) is { } right:
                return right.With(new MaskPart(node.Inputs[0]!, Hides: false), node);
            case "Where" when node.Inputs[2]?.Number() is <= Lowest && Of(node.Inputs[1]!) is { } seen:
                return seen.With(new MaskPart(node.Inputs[0]!, Hides: false), node);
            case "Where" when node.Inputs[1]?.Number() is <= Lowest && Of(node.Inputs[2]!) is { } rest:
                return rest.With(new MaskPart(node.Inputs[0]!, Hides: true), node);
            default:
                return null;
        }
    }

    private const double Lowest = -1e4;

    private static Scores? Scaled(Value value, double factor) => Of(value) is { } scores ? scores with { Factor = scores.Factor * factor } : null;

    /// <summary>A mask is laid over scores (B, H, T, S); over another view of them its axes would mean something else.</summary>
    private Scores? With(MaskPart mask, Node node) => node.Output.Shape is { Rank: 4 } ? this with { Masks = [.. Masks, mask] } : null;
}
