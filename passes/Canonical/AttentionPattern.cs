using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>softmax(scale Q K^T + mask) V with the keys and values of grouped heads repeated or not; ONNX's Attention on (B, H, T, D).</summary>
/// <remarks>
/// Q, K and V are the values (B, H, T, D) and (B, G, S, D) from which the two products take their operands, through whatever Reshape, Transpose,
/// Unsqueeze and Expand lies between (<see cref="IndexMap"/>); factors are taken from the scores or from the operands. What the mask is, is found by
/// computing it (<see cref="MaskMeaning"/>). A guard Where(IsNaN(p), 0, p) is passed. A query that sees no key has Y = 0 from then on.
/// </remarks>
internal sealed class AttentionPattern() : CanonicalPattern(nameof(Attention))
{
    public override bool IsCandidate(Node node) => node.Is("Softmax") || node.Is("Attention");

    public override string? Rewrite(CanonicalGraph graph, Node candidate) => candidate.Is("Softmax") ? Decomposed(graph, candidate) : Fused(graph, candidate);

    private string? Decomposed(CanonicalGraph graph, Node softmax)
    {
        if (softmax.Output.Shape is not { Rank: 3 or 4, IsStatic: true } shape)
            return $"it is of {softmax.Output.Shape}, not of scores (B, H, T, S) of known sizes";
        if (softmax.Int("axis", -1) is var axis && axis != -1 && axis != shape.Rank - 1)
            return "it is not along the last axis";
        if (Weighted(softmax.Output) is not { } weighted)
            return "what reads it is not one product with values";
        if (Scores.Of(softmax.Inputs[0]!) is not { } scores)
            return "it is not of a product of queries and keys with factors and masks alone, or an inner value is read elsewhere";

        var (product, t, s) = (scores.Product, shape.Sizes[^2], shape.Sizes[^1]);
        if (AttentionOperand.Queries(product.Inputs[0]!, t) is not { } q)
            return "its left operand is no view of queries (B, H, T, D)";
        var (b, h, d) = (q.Value.Shape!.Sizes[0], q.Value.Shape.Sizes[1], q.Value.Shape.Sizes[3]);
        if (AttentionOperand.Keys(product.Inputs[1]!, b, h, s, d) is not { } k)
            return $"its right operand is no view of keys [{b}, G, {s}, {d}], transposed";
        if (AttentionOperand.Values(weighted.Inputs[1]!, b, h, s) is not { } v
            || v.Value.Shape!.Sizes[1] != k.Value.Shape!.Sizes[1] || v.Value.Shape.Sizes[3] != d)
            return $"the weights' product is not with a view of values [{b}, {k.Value.Shape!.Sizes[1]}, {s}, {d}]";
        if (v.Factor != 1)
            return "the values are scaled";
        return Put(graph, weighted, (q.Value, k.Value, v.Value), scores.Masks, isCausal: false, scores.Factor * q.Factor * k.Factor);
    }

    private string? Fused(CanonicalGraph graph, Node node)
    {
        var (q, k, v) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!);
        if (q.Shape is not { Rank: 4, IsStatic: true } || k.Shape is not { Rank: 4, IsStatic: true } || !k.Shape.Equals(v.Shape))
            return $"Q {q.Shape}, K {k.Shape} and V {v.Shape} are not (B, H, T, D) and twice (B, G, S, D) of known sizes";
        if (node.Float("softcap", 0) != 0)
            return "it caps its scores";
        if (node.Inputs.Skip(4).Any(i => i is not null) || node.Outputs.Skip(1).Any(o => o.Uses.Count > 0 || o.IsGraphOutput))
            return "it has past keys, or gives more than its result";
        var (b, h, s, d) = (q.Shape.Sizes[0], q.Shape.Sizes[1], k.Shape.Sizes[2], q.Shape.Sizes[3]);
        // An exporter may repeat the heads of keys and values before the operator that could do without.
        var (keys, values) = (AttentionOperand.Values(k, b, h, s)?.Value ?? k, AttentionOperand.Values(v, b, h, s)?.Value ?? v);
        if (!keys.Shape!.Equals(values.Shape))
            (keys, values) = (k, v);
        return Put(graph, node, (q, keys, values), node.Input(3) is { } mask ? [new MaskPart(mask, Hides: false)] : [], node.Int("is_causal", 0) != 0,
            node.Float("scale", (float)(1 / Math.Sqrt(d))));
    }

    private string? Put(CanonicalGraph graph, Node root, (Value Q, Value K, Value V) x, IReadOnlyList<MaskPart> masks, bool isCausal, double scale)
    {
        var (q, k) = (x.Q.Shape!.Sizes, x.K.Shape!.Sizes);
        if (x.Q.Type != x.K.Type || x.Q.Type != x.V.Type || root.Output.Type != x.Q.Type)
            return $"its operands are {x.Q.Type.Name()}, {x.K.Type.Name()} and {x.V.Type.Name()}, its result {root.Output.Type.Name()}";
        if (isCausal && q[2] != k[2])
            return $"it is causal with {q[2]} queries and {k[2]} keys";
        var (meaning, reason) = MaskMeaning.Of(graph, masks, (q[0], q[1], q[2], k[2]));
        if (meaning is null)
            return reason;
        var usual = (float)scale == (float)(1 / Math.Sqrt(q[3]));
        graph.Replace(Kind, root, build =>
        {
            var mask = meaning.Padding is null or { Type: ElementType.Int64 } ? meaning.Padding
                : build.Op("mask", "Cast", [meaning.Padding], Attribute.Of("to", (long)ElementType.Int64));
            var y = build.Attention(x.Q, x.K, x.V, mask, null, isCausal || meaning.Causal, usual ? 0 : (float)scale, "attention",
                meaning.Window).Y;
            var shape = root.Output.Shape!;
            return shape.Equals(y.Shape) ? y : build.Op("rows", "Reshape", [y, build.Constant("rows/shape", Tensor.Int64s(shape.Sizes))]);
        });
        return null;
    }

    /// <summary>The product whose left operand is <paramref name="probabilities"/>, as they are but for casts, views of the same order and a guard.</summary>
    private static Node? Weighted(Value probabilities)
    {
        for (var at = probabilities; ;)
        {
            if (at.OnlyUser is { } user)
            {
                if (user.Is("MatMul"))
                    return user.Inputs[0] == at ? user : null;
                if (!user.Is("Reshape") && !user.Is("Cast") && !user.Is("Identity"))
                    return null;
                at = user.Output;
            }
            else if (Guarded(at) is { } guarded)
            {
                at = guarded;
            }
            else
            {
                return null;
            }
        }
    }

    /// <summary>Where(IsNaN(p), 0, p), which is p where no row of scores is hidden as a whole.</summary>
    private static Value? Guarded(Value p)
    {
        if (p.IsGraphOutput || p.Uses.Count != 2)
            return null;
        var (test, choice) = (p.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is("IsNaN")), p.Uses.Select(u => u.Node).FirstOrDefault(n => n.Is("Where")));
        return test is not null && choice is not null && test.Output.OnlyUser == choice && choice.Inputs[0] == test.Output
            && choice.Inputs[1]?.Number() == 0 && choice.Inputs[2] == p ? choice.Output : null;
    }
}
