using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>What Attention and AttentionGrad have in common: their shape rule and the pieces of their bodies.</summary>
internal static class AttentionParts
{
    /// <summary>Q (B, H, T, D), K and V (B, G, S, D) in the node's layout, mask (B, S), documentIds (B, T); S = T if causal or with documents.</summary>
    public static void Check(string source, Node node, Value q, Value k, Value v, Value? mask, Value? documentIds)
    {
        var layout = HeadLayouts.Of(node);
        if (HeadLayouts.ByHead(q.Shape, layout) is not { } queries || HeadLayouts.ByHead(k.Shape, layout) is not { } keys
            || HeadLayouts.ByHead(v.Shape, layout) is not { } values)
            return;
        var (causal, window) = (node.Int("causal", 1) != 0, node.Int("window", 0));
        if (queries.Rank != 4)
            throw Refused("Q (B, H, T, D)", $"{queries}", "Reshape it to heads.");
        if (keys.Rank != 4 || ShapeRule.Differ(keys[0], queries[0]) || ShapeRule.Differ(keys[3], queries[3]))
            throw Refused($"K (B, G, S, D) for Q {queries}", $"{keys}", "Reshape it to heads.");
        if (values.Rank != 4 || values.Zip(keys).Any(pair => ShapeRule.Differ(pair.First, pair.Second)))
            throw Refused($"V of the shape of K {keys}", $"{values}", "Check the projections.");
        if (queries[1].Size is { } heads && keys[1].Size is { } groups && (groups == 0 || heads % groups != 0))
            throw Refused("heads that are a multiple of the key/value heads", $"{heads} and {groups}", "Check the number of heads.");
        if ((causal || documentIds is not null) && ShapeRule.Differ(keys[2], queries[2]))
        {
            throw Refused("as many keys as queries where causal or with documents", $"{keys[2]} and {queries[2]}",
                "Set causal to 0, or give the keys of the queries.");
        }
        if (window != 0 && (window < 0 || !causal))
            throw Refused("a window of 1 key or more in a causal attention, or none", $"{window}", "Set window to 0.");
        if (mask?.Shape is { } m && (m.Rank != 2 || ShapeRule.Differ(m[0], keys[0]) || ShapeRule.Differ(m[1], keys[2])))
            throw Refused($"mask (B, S) for K {keys}", $"{m}", "Expand it to the batch.");
        if (documentIds?.Shape is { } d && (d.Rank != 2 || ShapeRule.Differ(d[0], queries[0]) || ShapeRule.Differ(d[1], queries[2])))
            throw Refused($"documentIds (B, T) for Q {queries}", $"{d}", "Expand them to the batch.");

        HaloException Refused(string expected, string found, string advice) => new(source, node.ToString(), expected, found, advice);
    }

    /// <summary>Of <paramref name="products"/> matrix products, over the keys that a causal query sees, within its window.</summary>
    public static double? Operations(Node node, Value q, Value k, int products)
    {
        if (q.Shape?.ElementCount is not { } elements || HeadLayouts.ByHead(k.Shape, HeadLayouts.Of(node)) is not { } shape || shape[2].Size is not { } keys)
            return null;
        var window = node.Int("window", 0) is > 0 and var w && w < keys ? w : keys;
        var seen = node.Int("causal", 1) == 0 ? keys : ((window * (window + 1) / 2.0) + ((keys - window) * window)) / keys;
        return 2.0 * products * elements * seen;
    }

    public static string Overload(bool causal, bool hasMask, bool hasDocuments, bool hasWindow, ElementType type, HeadLayout layout) =>
        (causal ? "causal" : "full") + (hasWindow ? "_window" : "") + (hasMask ? "_mask" : "") + (hasDocuments ? "_documents" : "")
        + (type == ElementType.Float ? "" : $"_{type.Name()}") + HeadLayouts.Suffix(layout);

    /// <summary>Of the body of a node; that of its overload.</summary>
    public static IReadOnlyList<Attribute> Defaults(Node node) =>
        [
            Attribute.Of("scale", 0f), Attribute.Of("causal", 1L),
            .. node.Int("window", 0) != 0 ? [Attribute.Of("window", 0L)] : Array.Empty<Attribute>(),
            .. HeadLayouts.Attributes(HeadLayouts.Of(node)),
        ];

    /// <summary>The attributes of a node; window only where there is one, layout where it is not the default.</summary>
    public static Attribute[] Attributes(bool causal, float scale, long window, HeadLayout layout) =>
        [
            Attribute.Of("scale", scale), Attribute.Of("causal", causal ? 1L : 0L),
            .. window != 0 ? [Attribute.Of("window", window)] : Array.Empty<Attribute>(),
            .. HeadLayouts.Attributes(layout),
        ];

    /// <summary>Without optional inputs at the end that are left out.</summary>
    public static Value?[] Trimmed(params Value?[] inputs)
    {
        var count = inputs.Length;
        while (inputs[count - 1] is null)
            count--;
        return inputs[..count];
    }

    /// <summary>The attribute, or D^(-1/2) in place of 0: (1).</summary>
    public static Value Scale(FunctionBody body, Value q)
    {
        var given = body.Op("given", "Constant", [], Attribute.Reference("value_float", AttributeKind.Float, "scale"));
        var root = body.Op("root", "Sqrt", [body.Cast("dim", Sizes(body, "dimSize", q, 3, 4), ElementType.Float)]);
        var isGiven = body.Cast("isGiven", given, ElementType.Bool);
        return body.Op("scaleUsed", "Where", [isGiven, given, body.Op("usual", "Reciprocal", [root])]);
    }

    /// <summary>(B, H, T, D) as (B, G, H/G T, D): the heads that read one key/value head lie one behind the other.</summary>
    public static Value Grouped(FunctionBody body, string name, Value x, Value q, Value k) => body.Op(name + ".grouped", "Reshape",
        [x, Concat(body, name + ".groupedSizes", Sizes(body, name + ".b", q, 0, 1), Sizes(body, name + ".g", k, 1, 2),
            body.Constant(name + ".rows", Tensor.Int64s(-1)), Sizes(body, name + ".d", q, 3, 4))]);

    /// <summary>(B, G, H/G T, S) as (B, H, T, S).</summary>
    public static Value ByHead(FunctionBody body, string name, Value scores, Value q, Value k) => body.Op(name + ".byHead", "Reshape",
        [scores, Concat(body, name + ".byHeadSizes", Sizes(body, name + ".bht", q, 0, 3), Sizes(body, name + ".s", k, 2, 3))]);

    public static Value Like(FunctionBody body, string name, Value x, Value model) =>
        body.Op(name, "Reshape", [x, body.Op(name + ".sizes", "Shape", [model])]);

    public static Value Transposed(FunctionBody body, string name, Value x) =>
        body.Op(name + ".transposed", "Transpose", [x], Attribute.Of("perm", new long[] { 0, 1, 3, 2 }));

    /// <summary>Which keys each query sees, booleans that broadcast to (B, H, T, S); null where that is all of them.</summary>
    public static Value? Visible(FunctionBody body, Node node, Value? mask, Value? documentIds, Value q)
    {
        var parts = new List<Value>();
        if (node.Int("causal", 1) != 0)
        {
            var tokens = body.Op("tokens", "Squeeze", [Sizes(body, "tokenSize", q, 2, 3)]);
            var at = body.Op("at", "Range", [body.Constant("first", Tensor.Scalar(0L)), tokens, body.Constant("step", Tensor.Scalar(1L))]);
            var atQuery = body.Op("atQuery", "Unsqueeze", [at, body.Constant("one", Tensor.Int64s(1))]);
            parts.Add(body.Op("isPast", "LessOrEqual", [at, atQuery]));
            if (node.Int("window", 0) != 0)
            {
                var window = body.Op("window", "Constant", [], Attribute.Reference("value_int", AttributeKind.Int, "window"));
                parts.Add(body.Op("isNear", "Less", [body.Op("distance", "Sub", [atQuery, at]), window]));
            }
        }
        if (mask is not null)
            parts.Add(body.Op("isKept", "Unsqueeze", [body.Cast("kept", mask, ElementType.Bool), body.Constant("headAndQuery", Tensor.Int64s(1, 2))]));
        if (documentIds is not null)
        {
            parts.Add(body.Op("isSameDocument", "Equal",
                [
                    body.Op("ofQuery", "Unsqueeze", [documentIds, body.Constant("headAndKey", Tensor.Int64s(1, 3))]),
                    body.Op("ofKey", "Unsqueeze", [documentIds, body.Constant("headAndQueryToo", Tensor.Int64s(1, 2))]),
                ]));
        }
        return parts.Count == 0 ? null : parts.Aggregate((a, b) => body.Op($"{a.Name}.{b.Name}", "And", [a, b]));
    }

    public static Value Sizes(FunctionBody body, string name, Value x, long start, long end) =>
        body.Op(name, "Shape", [x], Attribute.Of("start", start), Attribute.Of("end", end));

    private static Value Concat(FunctionBody body, string name, params Value[] sizes) => body.Op(name, "Concat", sizes, Attribute.Of("axis", 0L));
}
