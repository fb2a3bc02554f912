using Halo.Building;
using Halo.Ir;
using Halo.Operators;

namespace Halo.CustomOps;

/// <summary>Rotates pairs of each head's channels by angles that depend on the token's position.</summary>
/// <remarks>
/// X (B, H, T, D), D even, float32, float16 or bfloat16; cos, sin (P, D/2) float32, a row for each position; positionIds (B, T) int64 says which
/// row a token uses, without it token t uses row t -> Y (B, H, T, D), absmax? () float32. Attributes: inverse (0 or 1); absmax, 1 where max |Y| is wanted;
/// layout, "bhsd", the default, or "bshd", where X and Y have heads side by side, (B, T, H, D).
/// With the halves x1 = X[..., :D/2], x2 = X[..., D/2:]: y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin. [Su et al. 2021, 3.4.2; the pairs are those of
/// LLaMA in Hugging Face Transformers] The inverse rotates by the negative angle: it is the transpose, and so the gradient with respect to X.
/// A position outside [0, P) is an error. Types other than float32 have overloads of their own, which compute in float32 and round once.
/// </remarks>
public sealed class RotaryEmbedding : HaloOperator
{
    public override string OpType => nameof(RotaryEmbedding);

    public override string Schema => "RotaryEmbedding(X: T, cos: float, sin: float, positionIds?: I) -> Y: T, absmax?: float; T: float, float16, bfloat16; I: int64";

    public static string Overload(bool hasPositions, bool inverse, ElementType type, HeadLayout layout = HeadLayout.Bhsd) =>
        (hasPositions ? "positions" : "rows") + (inverse ? "_inverse" : "") + (type == ElementType.Float ? "" : $"_{type.Name()}")
        + HeadLayouts.Suffix(layout);

    public override int Maxima => 1;

    internal override string OverloadWithMaxima(Node node) => OverloadOf(node);

    internal static string OverloadOf(Node node) =>
        Overload(node.Input(3) is not null, node.Int("inverse", 0) == 1, node.Inputs[0]!.Type, HeadLayouts.Of(node))
        + (HaloOperators.GivesAbsoluteMax(node) ? "_absmax" : "");

    public override RecomputeKind? Recompute => RecomputeKind.Rotary;

    public override IReadOnlyList<FreeSize>? FreeSizes(FreeOperands x) =>
        x.OnlyFree(0, 3) && x.IsTokens(3, HeadLayouts.ByHead(x.Sizes[0]!, HeadLayouts.Of(x.Node))) ? x.Sizes[0] : null;

    public override void InferShapes(Node node)
    {
        var (x, cos, sin, positions) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!, node.Input(3));
        if (HeadLayouts.ByHead(x.Shape, HeadLayouts.Of(node)) is { } shape)
        {
            if (shape.Rank != 4 || shape[3].Size is { } d && d % 2 != 0)
                throw Refused(node, "X (B, H, T, D) with an even D", $"{shape}", "Pad or split the heads.");
            foreach (var table in new[] { cos.Shape, sin.Shape })
            {
                if (table is not null && (table.Rank != 2 || shape[3].Size is { } channels && ShapeRule.Differ(table[1], channels / 2)))
                    throw Refused(node, $"tables (P, D/2) for X {shape}", $"{table}", "Leave out the repeated half of the angles.");
            }
            if (cos.Shape is { } c && sin.Shape is { } s && ShapeRule.Differ(c[0], s[0]))
                throw Refused(node, "tables of one size", $"cos {c}, sin {s}", "Take both from the same positions.");
            if (positions is null && cos.Shape?[0].Size < shape[2].Size)
                throw Refused(node, $"a row for each of {shape[2]} tokens", $"{cos.Shape[0]}", "Make longer tables, or give positions.");
            if (positions?.Shape is { } p && (p.Rank != 2 || ShapeRule.Differ(p[0], shape[0]) || ShapeRule.Differ(p[1], shape[2])))
                throw Refused(node, $"positions (B, T) for X {shape}", $"{p}", "Expand them to the batch.");
        }
        (node.Outputs[0].Type, node.Outputs[0].Shape) = (x.Type, x.Shape);
        if (HaloOperators.GivesAbsoluteMax(node))
            (node.Outputs[1].Type, node.Outputs[1].Shape) = (ElementType.Float, Shape.Scalar);
    }

    public override FunctionBody Body(Node node)
    {
        var (hasMax, layout) = (HaloOperators.GivesAbsoluteMax(node), HeadLayouts.Of(node));
        var body = new FunctionBody("X", "cos", "sin", "positionIds")
        {
            AttributeDefaults = [Attribute.Of("inverse", 0L), .. hasMax ? (Attribute[])[Attribute.Of("absmax", 1L)] : [], .. HeadLayouts.Attributes(layout)],
        };
        var type = node.Inputs[0]!.Type;
        var heads = HeadLayouts.ByHead(body, "heads", body.Input(0), layout);
        var x = type == ElementType.Float ? heads : body.Cast("x", heads, ElementType.Float);
        var rows = node.Input(3) is null ? Count(body, heads) : Positions(body);
        var (cos, sin) = (Rows(body, "c", body.Input(1), rows, node), Rows(body, "s", body.Input(2), rows, node));
        var (x1, x2) = (Half(body, "x1", x, false), Half(body, "x2", x, true));
        var (subtract, add) = node.Int("inverse", 0) == 1 ? ("Add", "Sub") : ("Sub", "Add");
        var y1 = body.Op("y1", subtract, [body.Op("x1cos", "Mul", [x1, cos]), body.Op("x2sin", "Mul", [x2, sin])]);
        var y2 = body.Op("y2", add, [body.Op("x2cos", "Mul", [x2, cos]), body.Op("x1sin", "Mul", [x1, sin])]);
        var y = body.Op("y", "Concat", [y1, y2], Attribute.Of("axis", 3L));
        y = HeadLayouts.ByHead(body, "y.tokens", body.FromFloat("rounded", y, type), layout);
        body.Output("Y", y);
        return hasMax ? body.Output("absmax", body.AbsoluteMax("largest", y, type)) : body;
    }

    private static Value Half(FunctionBody body, string name, Value x, bool second)
    {
        var dim = body.Op(name + ".dim", "Shape", [x], Attribute.Of("start", 3L));
        var middle = body.Op(name + ".middle", "Div", [dim, body.Constant(name + ".two", Tensor.Int64s(2))]);
        var axis = body.Constant(name + ".axis", Tensor.Int64s(3));
        var (start, end) = second ? (middle, dim) : (body.Constant(name + ".start", Tensor.Int64s(0)), middle);
        return body.Op(name, "Slice", [x, start, end, axis]);
    }

    /// <summary>0, 1, .. T - 1: Gather refuses a row that is not there, where Slice would give fewer.</summary>
    private static Value Count(FunctionBody body, Value heads)
    {
        var tokens = body.Op("tokens", "Squeeze", [body.Op("axis2", "Shape", [heads], Attribute.Of("start", 2L), Attribute.Of("end", 3L))]);
        return body.Op("rows", "Range", [body.Constant("first", Tensor.Scalar(0L)), tokens, body.Constant("step", Tensor.Scalar(1L))]);
    }

    /// <summary>Gather counts a negative index from the end; made huge, it is refused.</summary>
    private static Value Positions(FunctionBody body) => body.Op("rows", "Where",
        [
            body.Op("negative", "Less", [body.Input(3), body.Constant("zero", Tensor.Scalar(0L))]), body.Constant("huge", Tensor.Scalar(1L << 40)),
            body.Input(3),
        ]);

    /// <summary>(T, D/2), or (B, 1, T, D/2) where every batch row has its own positions.</summary>
    private static Value Rows(FunctionBody body, string name, Value table, Value rows, Node node)
    {
        var found = body.Op(name + ".rows", "Gather", [table, rows]);
        return node.Input(3) is null ? found : body.Op(name, "Unsqueeze", [found, body.Constant(name + ".heads", Tensor.Int64s(1))]);
    }

    private static HaloException Refused(Node node, string expected, string found, string advice) =>
        new("rotary-embedding", node.ToString(), expected, found, advice);
}

/// <summary>Makes <see cref="CustomOps.RotaryEmbedding"/> nodes.</summary>
public static class RotaryEmbeddingExtensions
{
    /// <summary>Rotates the heads <paramref name="x"/> by their positions, or back (<c>inverse</c>).</summary>
    public static Value RotaryEmbedding(
        this GraphBuilder build, Value x, Value cos, Value sin, Value? positionIds, bool inverse, string name, HeadLayout layout = HeadLayout.Bhsd)
    {
        HaloOperators.RequireFloat("rotary-embedding", x);
        return HaloOperators.Call(build, name, nameof(RotaryEmbedding), positionIds is null ? [x, cos, sin] : [x, cos, sin, positionIds], 1,
            CustomOps.RotaryEmbedding.Overload(positionIds is not null, inverse, x.Type, layout),
            [Attribute.Of("inverse", inverse ? 1L : 0L), .. HeadLayouts.Attributes(layout)]).Output;
    }
}
