using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>Queries, keys or values by head, as they lie before they are scaled, repeated and turned into the operand of a product.</summary>
/// <param name="Value">(B, H, T, D) or (B, G, S, D).</param>
/// <param name="Factor">What the operand is scaled by on the way.</param>
internal sealed record AttentionOperand(Value Value, double Factor)
{
    /// <summary>The queries (B, H, T, D) behind a left operand of which each matrix has <paramref name="t"/> rows.</summary>
    public static AttentionOperand? Queries(Value operand, long t) => operand.Shape is not { Rank: >= 3, IsStatic: true } shape ? null
        : Find(operand, source => source[2] == t && source[3] == shape.Sizes[^1], (i, _) => i);

    /// <summary>The keys (B, G, S, D) behind an operand (B H, D, S).</summary>
    public static AttentionOperand? Keys(Value operand, long b, long h, long s, long d) =>
        Find(operand, source => source[0] == b && h % source[1] == 0 && source[2] == s && source[3] == d,
            (i, g) => Source(i / (d * s), i / s % d, i % s, g, h, s, d));

    /// <summary>The values (B, G, S, D) behind an operand (B H, S, D).</summary>
    public static AttentionOperand? Values(Value operand, long b, long h, long s)
    {
        if (operand.Shape is not { Rank: >= 3, IsStatic: true } shape)
            return null;
        var d = shape.Sizes[^1];
        return Find(operand, source => source[0] == b && h % source[1] == 0 && source[2] == s && source[3] == d,
            (i, g) => Source(i / (s * d), i % d, i / d % s, g, h, s, d));
    }

    /// <summary>Where element (head of the whole batch, channel, token) lies among G heads of which each is read by H/G.</summary>
    private static long Source(long head, long channel, long token, long g, long h, long s, long d) =>
        ((((head / h * g) + (head % h / (h / g))) * s) + token) * d + channel;

    /// <summary>Of the values on the way back that fit, the one with the fewest elements; of equals the farthest.</summary>
    private static AttentionOperand? Find(Value operand, Func<long[], bool> fits, Func<long, long, long> expected)
    {
        AttentionOperand? best = null;
        var (path, factor) = (new IndexMap(operand), 1.0);
        while (true)
        {
            if (path.Source.Shape is { Rank: 4, IsStatic: true } shape && fits(shape.Sizes)
                && (best is null || shape.ElementCount <= best.Value.Shape!.ElementCount)
                && path.Is(i => expected(i, shape.Sizes[1])))
                best = new AttentionOperand(path.Source, factor);
            if (path.Step())
                continue;
            if (path.Source.Producer is not { } node || !path.Pass(node, Unscaled(node, out var scaled)))
                return best;
            factor *= scaled;
        }
    }

    /// <summary>The operand that a node scales by a constant, and the constant.</summary>
    private static Value? Unscaled(Node node, out double factor)
    {
        factor = 1;
        for (var side = 0; side < 2 && (node.Is("Mul") || (node.Is("Div") && side == 1)); side++)
        {
            if (node.Inputs[side]?.Number() is not ({ } constant and > 0))
                continue;
            factor = node.Is("Mul") ? constant : 1 / constant;
            return node.Inputs[1 - side];
        }
        return null;
    }
}
