using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>x rsqrt(mean(x^2) + epsilon) w along the last axis, in any order of factors and casts; ONNX's RMSNormalization.</summary>
/// <remarks>
/// The square is Pow(x, 2) or Mul(x, x); the root is Sqrt with Reciprocal, 1 / Sqrt or x / Sqrt, or Pow(-0.5). Where x is cast to float32 before and
/// the result back, before or after the product with w, the operator of x's own type stands for all of it: it computes in float32 as well.
/// </remarks>
internal sealed class RmsNormPattern() : CanonicalPattern(nameof(RmsNorm))
{
    public override bool IsCandidate(Node node) => node.Is("RMSNormalization") || IsSimplified(node)
        || (node.Is("ReduceMean") && Squared(node.Inputs[0]!) is not null);

    public override string? Rewrite(CanonicalGraph graph, Node candidate) =>
        candidate.Is("ReduceMean") ? Decomposed(graph, candidate) : Fused(graph, candidate);

    private string? Decomposed(CanonicalGraph graph, Node mean)
    {
        var x = Squared(mean.Inputs[0]!)!;
        if (mean.Inputs[0]!.OnlyUser is null)
            return $"the square '{mean.Inputs[0]!.Name}' is read elsewhere";
        if (!Match.ReducesLastAxis(mean))
            return "the mean is not along the last axis, with that axis kept";
        if (Match.OnlyUser(mean.Output, "Add") is not { } add || Match.OtherOperand(add, mean.Output)?.Number() is not { } epsilon)
            return "what reads the mean is not one sum with a constant";
        if (Normalized(x, add.Output) is not { } normalized)
            return "what follows is not the product of x with the reciprocal of the root, or it is read elsewhere";
        if (Match.OnlyUser(Match.AfterCast(normalized), "Mul") is not { } product || Match.OtherOperand(product, Match.AfterCast(normalized)) is not { } weight)
            return "no product with a weight follows";
        if (weight.Shape is not { Rank: 1 } || x.Shape is not { Rank: > 0 } shape || weight.Shape[0] != shape[-1])
            return $"the factor '{weight.Name}' {weight.Shape} is no weight for each column of {x.Shape}";

        // The narrowest span of one type: x before its cast, the weight of that type, the result after the cast back.
        var (source, root) = (Match.BeforeCasts(x), product);
        var narrow = source.Type;
        if (product.Output.Type != narrow && Match.BeforeCasts(weight).Type == narrow && Match.OnlyUser(product.Output, "Cast") is { } back && back.Output.Type == narrow)
            (root, weight) = (back, Match.BeforeCasts(weight));
        else if (product.Output.Type != narrow)
            source = x;
        if (root.Output.Type != source.Type || weight.Type != source.Type)
            return $"x is {source.Type.Name()}, the weight {weight.Type.Name()} and the result {root.Output.Type.Name()}";
        graph.Replace(Kind, root, build => build.RmsNorm(source, weight, (float)epsilon, "rms_norm").Y);
        return null;
    }

    private string? Fused(CanonicalGraph graph, Node node)
    {
        var (x, weight) = (node.Inputs[0]!, node.Inputs[1]!);
        var axis = node.Int("axis", -1);
        if (x.Shape is not { Rank: > 0 } shape || (axis != -1 && axis != shape.Rank - 1))
            return "it is not along the last axis";
        if (weight.Shape is not { Rank: 1 } || weight.Type != x.Type || node.Output.Type != x.Type)
            return $"x is {x.Type.Name()}{shape}, the weight {weight.Type.Name()}{weight.Shape}";
        if (node.Outputs.Skip(1).Any(o => o.Uses.Count > 0 || o.IsGraphOutput))
            return "its second output is read";
        graph.Replace(Kind, node, build => build.RmsNorm(x, weight, node.Float("epsilon", 1e-5f), "rms_norm").Y);
        return null;
    }

    /// <summary>ONNX Runtime's own name for the operator; it stands in ONNX's domain and in no version of ONNX.</summary>
    private static bool IsSimplified(Node node) => node.Is("SimplifiedLayerNormalization") || node.Is("SimplifiedLayerNormalization", "com.microsoft");

    /// <summary>x of Pow(x, 2) or Mul(x, x).</summary>
    private static Value? Squared(Value value) => value.Producer switch
    {
        { } node when node.Is("Pow") && Match.Is(node.Inputs[1], 2) => node.Inputs[0],
        { } node when node.Is("Mul") && node.Inputs[0] == node.Inputs[1] => node.Inputs[0],
        _ => null,
    };

    /// <summary>x times the reciprocal root of <paramref name="square"/>.</summary>
    private static Value? Normalized(Value x, Value square)
    {
        var inverse = square;
        if (Match.OnlyUser(square, "Pow") is { } power && power.Inputs[0] == square && Match.Is(power.Inputs[1], -0.5))
        {
            inverse = power.Output;
        }
        else if (Match.OnlyUser(square, "Sqrt") is { } root)
        {
            if (Match.OnlyUser(root.Output, "Reciprocal") is { } reciprocal)
                inverse = reciprocal.Output;
            else if (Match.OnlyUser(root.Output, "Div") is { } division && division.Inputs[1] == root.Output)
            {
                if (division.Inputs[0] == x)
                    return division.Output;
                if (!Match.Is(division.Inputs[0], 1))
                    return null;
                inverse = division.Output;
            }
        }
        return inverse != square && Match.OnlyUser(inverse, "Mul") is { } product && Match.OtherOperand(product, inverse) == x ? product.Output : null;
    }
}
