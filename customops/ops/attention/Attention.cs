using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Softmax attention with grouped heads, under causal, padding and document masks.</summary>
/// <remarks>
/// Q (B, H, T, D), K and V (B, G, S, D), float32, float16 or bfloat16, H a multiple of G: query head h reads key/value head h / (H/G)
/// [Ainslie et al. 2023, 2.2]; mask (B, S) and documentIds (B, T) int64 -> Y (B, H, T, D), logSumExp (B, H, T) float32.
/// Y = softmax(s Q K^T over the visible keys) V, logSumExp the logarithm of the softmax's denominator. [Vaswani et al. 2017, 3.2.1]
/// Key j is visible to query i of batch row b if (not causal or j &lt;= i) and mask[b, j] != 0 and documentIds[b, i] = documentIds[b, j].
/// Attributes: scale (s; 0 stands for D^(-1/2), and is the default), causal (0 or 1, the default), window (w, causal alone; 0, the default, is no window):
/// then j must be above i - w as well. [Beltagy et al. 2020, 3.1] Causal or with documentIds: S = T. layout: "bhsd", the default, or "bshd", where Q, K, V and
/// Y have heads side by side, (B, T, H, D) and (B, S, G, D).
/// A query that sees no key has Y = 0 and logSumExp = -Inf. A NaN or Inf in V may reach queries that do not see its key.
/// Types other than float32 have overloads of their own, which compute in float32 and round once.
/// </remarks>
public sealed class Attention : HaloOperator
{
    public override string OpType => nameof(Attention);

    public override string Schema => "Attention(Q: T, K: T, V: T, mask?: I, documentIds?: I) -> Y: T, logSumExp: float; T: float, float16, bfloat16; I: int64";

    public static string Overload(
        bool causal, bool hasMask, bool hasDocuments, bool hasWindow, ElementType type, HeadLayout layout = HeadLayout.Bhsd) =>
        AttentionParts.Overload(causal, hasMask, hasDocuments, hasWindow, type, layout);

    internal static string OverloadOf(Node node) => Overload(node.Int("causal", 1) != 0, node.Input(3) is not null, node.Input(4) is not null,
        node.Int("window", 0) != 0, node.Inputs[0]!.Type, HeadLayouts.Of(node));

    /// <summary>Q K^T and P V.</summary>
    public override double? Operations(Node node) => AttentionParts.Operations(node, node.Inputs[0]!, node.Inputs[1]!, 2);

    public override RecomputeKind? Recompute => RecomputeKind.Attention;

    /// <summary>Q (B, H, T, D), K and V (B, G, T, D) in the layout, mask and documents (B, T).</summary>
    public override IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x)
    {
        var layout = HeadLayouts.Of(x.Node);
        var (q, k, v) = (HeadLayouts.ByHead(x.Sizes[0]!, layout), HeadLayouts.ByHead(x.Sizes[1]!, layout), HeadLayouts.ByHead(x.Sizes[2]!, layout));
        return q[0].IsFree && q[2].IsFree && !q[1].IsFree && !q[3].IsFree && k.SequenceEqual(v) && k[0].Equals(q[0]) && k[2].Equals(q[2])
            && x.IsTokens(3, q) && x.IsTokens(4, q) ? x.Sizes[0] : null;
    }

    public override void InferShapes(Node node)
    {
        var q = node.Inputs[0]!;
        AttentionParts.Check("attention", node, q, node.Inputs[1]!, node.Inputs[2]!, node.Input(3), node.Input(4));
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (q.Type, q.Shape);
        var heads = HeadLayouts.ByHead(q.Shape, HeadLayouts.Of(node));
        (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, heads is { } shape ? new Shape(shape.Take(3)) : null);
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("Q", "K", "V", "mask", "documentIds") { AttributeDefaults = AttentionParts.Defaults(node) };
        var (layout, type) = (HeadLayouts.Of(node), node.Inputs[0]!.Type);
        Value Heads(string name, int input) => HeadLayouts.ByHead(body, name, body.Input(input), layout);
        var (q, k, v) = (Heads("q.heads", 0), Heads("k.heads", 1), Heads("v.heads", 2));
        var (mask, documents) = (node.Input(3) is null ? null : body.Input(3), node.Input(4) is null ? null : body.Input(4));
        var scaled = body.Op("scaled", "Mul", [body.ToFloat("q.float", q, type), AttentionParts.Scale(body, q)]);
        var keys = AttentionParts.Transposed(body, "k", body.ToFloat("k.float", k, type));
        var product = body.Op("product", "MatMul", [AttentionParts.Grouped(body, "q", scaled, q, k), keys]);
        var scores = AttentionParts.ByHead(body, "scores", product, q, k);
        var last = body.Constant("last", Tensor.Int64s(-1));
        var visible = AttentionParts.Visible(body, node, mask, documents, q);
        if (visible is not null)
            scores = body.Op("visibleScores", "Where", [visible, scores, body.Constant("minusInf", Tensor.Scalar(float.NegativeInfinity))]);
        var seesAny = mask is null ? null : SeesAny(body, visible!, last); // without a mask a query sees at least its own key

        var max = body.Op("max", "ReduceMax", [scores, last]);
        if (seesAny is not null)
            max = body.Op("finiteMax", "Where", [seesAny, max, body.Constant("zero", Tensor.Scalar(0f))]);
        var exponentials = body.Op("exponentials", "Exp", [body.Op("shifted", "Sub", [scores, max])]);
        var sum = body.Op("sum", "ReduceSum", [exponentials, last]);
        var logSum = body.Op("logSum", "Squeeze", [body.Op("logSumKept", "Add", [max, body.Op("log", "Log", [sum])]), last]);
        var divisor = seesAny is null ? sum : body.Op("divisor", "Where", [seesAny, sum, body.Constant("unit", Tensor.Scalar(1f))]);
        var probabilities = AttentionParts.Like(body, "p", body.Op("pByHead", "Div", [exponentials, divisor]), product);
        var y = AttentionParts.Like(body, "y", body.Op("yGrouped", "MatMul", [probabilities, body.ToFloat("v.float", v, type)]), q);
        return body.Output("Y", HeadLayouts.ByHead(body, "y.tokens", body.FromFloat("y.rounded", y, type), layout)).Output("logSumExp", logSum);
    }

    private static Value SeesAny(FunctionBody body, Value visible, Value last) => body.Cast("seesAny",
        body.Op("mostVisible", "ReduceMax", [body.Cast("visibleNumbers", visible, ElementType.Float), last]), ElementType.Bool);
}

/// <summary>Makes <see cref="CustomOps.Attention"/> nodes.</summary>
public static class AttentionExtensions
{
    /// <summary>
    /// Attention of <paramref name="q"/> to keys and values; a <paramref name="scale"/> of 0 stands for D^(-1/2), a <paramref name="window"/> of 0 for none.
    /// </summary>
    public static (Value Y, Value LogSumExp) Attention(
        this GraphBuilder build, Value q, Value k, Value v, Value? mask, Value? documentIds, bool causal, float scale, string name,
        long window = 0, HeadLayout layout = HeadLayout.Bhsd)
    {
        HaloOperators.RequireFloat("attention", q);
        var node = HaloOperators.Call(build, name, nameof(Attention), AttentionParts.Trimmed(q, k, v, mask, documentIds), 2,
            CustomOps.Attention.Overload(causal, mask is not null, documentIds is not null, window != 0, q.Type, layout),
            AttentionParts.Attributes(causal, scale, window, layout));
        return (node.Outputs[0], node.Outputs[1]);
    }
}
