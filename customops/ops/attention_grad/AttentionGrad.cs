using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>The gradient of <see cref="Attention"/>, which computes the probabilities again from logSumExp.</summary>
/// <remarks>
/// dY, Q, Y (B, H, T, D), K and V (B, G, S, D), float32, float16 or bfloat16; logSumExp (B, H, T) float32; mask (B, S), documentIds (B, T) int64
/// -> dQ, dK, dV of the shapes of Q, K, V. Attributes and visibility are those of Attention; with layout "bshd" all but logSumExp have heads side by side.
/// P = exp(s Q K^T - logSumExp), 0 where a key is hidden; dP = dY V^T; dS = P (dP - rowsum(dY Y));
/// dQ = s dS K, dK = s dS^T Q, dV = P^T dY, the last two summed over the heads of a group. [Dao 2023, Algorithm 2]
/// A NaN or Inf in dY or V may reach queries and keys that do not see each other.
/// </remarks>
public sealed class AttentionGrad : HaloOperator
{
    public override string OpType => nameof(AttentionGrad);

    public override string Schema =>
        "AttentionGrad(dY: T, Q: T, K: T, V: T, Y: T, logSumExp: float, mask?: I, documentIds?: I) -> dQ: T, dK: T, dV: T;"
        + " T: float, float16, bfloat16; I: int64";

    public static string Overload(
        bool causal, bool hasMask, bool hasDocuments, bool hasWindow, ElementType type, HeadLayout layout = HeadLayout.Bhsd) =>
        AttentionParts.Overload(causal, hasMask, hasDocuments, hasWindow, type, layout);

    internal static string OverloadOf(Node node) => Overload(node.Int("causal", 1) != 0, node.Input(6) is not null, node.Input(7) is not null,
        node.Int("window", 0) != 0, node.Inputs[1]!.Type, HeadLayouts.Of(node));

    /// <summary>dY V^T, P^T dY, dS K and dS^T Q; Q K^T once more is not counted.</summary>
    public override double? Operations(Node node) => AttentionParts.Operations(node, node.Inputs[1]!, node.Inputs[2]!, 4);

    public override void InferShapes(Node node)
    {
        var (dy, q, y, logSumExp) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[4]!, node.Inputs[5]!);
        AttentionParts.Check("attention-grad", node, q, node.Inputs[2]!, node.Inputs[3]!, node.Input(6), node.Input(7));
        var heads = HeadLayouts.ByHead(q.Shape, HeadLayouts.Of(node));
        foreach (var (name, found, like, rank) in new[] { ("dY", dy.Shape, q.Shape, 4), ("Y", y.Shape, q.Shape, 4), ("logSumExp", logSumExp.Shape, heads, 3) })
        {
            if (like is not { } shape || found is null)
                continue;
            if (found.Rank != rank || found.Zip(shape).Any(pair => ShapeRule.Differ(pair.First, pair.Second)))
            {
                throw new HaloException("attention-grad", node.ToString(), $"{name} {new Shape(shape.Take(rank))}", $"{found}",
                    "Take it from the same attention.");
            }
        }
        for (var i = 0; i < 3; i++)
            (node.Outputs[i].Type, node.Outputs[i].Shape) = (node.Inputs[i + 1]!.Type, node.Inputs[i + 1]!.Shape);
    }

    public override FunctionBody Body(Node node)
    {
        var body = new FunctionBody("dY", "Q", "K", "V", "Y", "logSumExp", "mask", "documentIds") { AttributeDefaults = AttentionParts.Defaults(node) };
        var (layout, type) = (HeadLayouts.Of(node), node.Inputs[1]!.Type);
        Value Heads(string name, int input) => HeadLayouts.ByHead(body, name, body.Input(input), layout);
        var (q, k, v) = (Heads("q.heads", 1), Heads("k.heads", 2), Heads("v.heads", 3));
        var (mask, documents) = (node.Input(6) is null ? null : body.Input(6), node.Input(7) is null ? null : body.Input(7));
        var (dy, y) = (body.ToFloat("dy.float", Heads("dy.heads", 0), type), body.ToFloat("y.float", Heads("y.heads", 4), type));
        var (keys, values) = (body.ToFloat("k.float", k, type), body.ToFloat("v.float", v, type));
        var scale = AttentionParts.Scale(body, q);
        var scaled = AttentionParts.Grouped(body, "q", body.Op("scaled", "Mul", [body.ToFloat("q.float", q, type), scale]), q, k);
        var dyGrouped = AttentionParts.Grouped(body, "dy", dy, q, k);
        var visible = AttentionParts.Visible(body, node, mask, documents, q);
        var last = body.Constant("last", Tensor.Int64s(-1));

        var product = body.Op("product", "MatMul", [scaled, AttentionParts.Transposed(body, "k", keys)]);
        var shifted = body.Op("shifted", "Sub",
            [AttentionParts.ByHead(body, "scores", product, q, k), body.Op("logSum", "Unsqueeze", [body.Input(5), last])]);
        var p = Hide("p", body.Op("exponentials", "Exp", [shifted]));
        var dp = AttentionParts.ByHead(body, "dp", body.Op("dpGrouped", "MatMul", [dyGrouped, AttentionParts.Transposed(body, "v", values)]), q, k);
        var delta = body.Op("delta", "ReduceSum", [body.Op("dyy", "Mul", [dy, y]), last]);
        var ds = Hide("ds", body.Op("weighted", "Mul", [p, body.Op("centred", "Sub", [dp, delta])]));

        var (pGrouped, dsGrouped) = (AttentionParts.Like(body, "pGrouped", p, product), AttentionParts.Like(body, "dsGrouped", ds, product));
        var dq = AttentionParts.Like(body, "dq", body.Op("dqScaled", "Mul", [body.Op("dsk", "MatMul", [dsGrouped, keys]), scale]), q);
        var dk = body.Op("dk", "MatMul", [AttentionParts.Transposed(body, "ds", dsGrouped), scaled]);
        var dv = body.Op("dv", "MatMul", [AttentionParts.Transposed(body, "p", pGrouped), dyGrouped]);
        return body.Output("dQ", Rounded("dq", dq)).Output("dK", Rounded("dk", dk)).Output("dV", Rounded("dv", dv));

        Value Rounded(string name, Value x) => HeadLayouts.ByHead(body, name + ".tokens", body.FromFloat(name + ".rounded", x, type), layout);

        Value Hide(string name, Value x) =>
            visible is null ? x : body.Op(name + ".visible", "Where", [visible, x, body.Constant(name + ".zero", Tensor.Scalar(0f))]);
    }
}

/// <summary>Makes <see cref="CustomOps.AttentionGrad"/> nodes.</summary>
public static class AttentionGradExtensions
{
    /// <summary>The gradients of q, k and v from that of <paramref name="y"/>; everything else as the forward node has it.</summary>
    public static (Value Q, Value K, Value V) AttentionGrad(
        this GraphBuilder build, Value dy, Value q, Value k, Value v, Value y, Value logSumExp, Value? mask, Value? documentIds, bool causal,
        float scale, string name, long window = 0, HeadLayout layout = HeadLayout.Bhsd)
    {
        HaloOperators.RequireFloat("attention-grad", q);
        var node = HaloOperators.Call(build, name, nameof(AttentionGrad), AttentionParts.Trimmed(dy, q, k, v, y, logSumExp, mask, documentIds), 3,
            CustomOps.AttentionGrad.Overload(causal, mask is not null, documentIds is not null, window != 0, q.Type, layout),
            AttentionParts.Attributes(causal, scale, window, layout));
        return (node.Outputs[0], node.Outputs[1], node.Outputs[2]);
    }
}
