using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>How the heads of a tensor lie, axes from the outermost on, in cuDNN's words: batch, heads, sequence, dim.</summary>
public enum HeadLayout
{
    /// <summary>(B, H, T, D).</summary>
    Bhsd,

    /// <summary>(B, T, H, D): the heads of a token side by side, as linear layers give and want them.</summary>
    Bshd,
}

/// <summary>The attribute of operators on heads that says how these lie: layout, "bhsd", the default, or "bshd".</summary>
public static class HeadLayouts
{
    /// <summary>The layout that a node's attribute names.</summary>
    /// <exception cref="HaloException">It names none.</exception>
    public static HeadLayout Of(Node node) => node.Attributes.TryGetValue("layout", out var layout) ? layout.String switch
    {
        "bhsd" => HeadLayout.Bhsd,
        "bshd" => HeadLayout.Bshd,
        var other => throw new HaloException("layout", node.ToString(), "bhsd or bshd", other, "Leave it out where heads are (B, H, T, D)."),
    } : HeadLayout.Bhsd;

    /// <summary>Gives a node the layout that its inputs have by now: attribute, overload and the shapes of its outputs.</summary>
    public static void Set(Node node, HeadLayout layout)
    {
        node.Attributes["layout"] = Attribute.Of("layout", layout == HeadLayout.Bshd ? "bshd" : "bhsd");
        node.Overload = node.OpType switch
        {
            nameof(Attention) => Attention.OverloadOf(node),
            nameof(AttentionGrad) => AttentionGrad.OverloadOf(node),
            nameof(RotaryEmbedding) => RotaryEmbedding.OverloadOf(node),
            _ => throw new HaloException("layout", node.ToString(), "an operator on heads", node.OpType, "Transpose what it reads."),
        };
        HaloOperators.EnsureFunction(node);
        HaloOperators.Of(node)!.InferShapes(node);
    }

    /// <summary>The shape of heads in a layout as (B, H, T, D), and back; one of another rank as it is.</summary>
    public static Shape? ByHead(Shape? x, HeadLayout layout) => x is null ? null : new Shape(ByHead<Dim>(x, layout));

    /// <summary>The same of sizes.</summary>
    internal static IReadOnlyList<T> ByHead<T>(IReadOnlyList<T> x, HeadLayout layout) =>
        layout == HeadLayout.Bshd && x.Count == 4 ? [x[0], x[2], x[1], x[3]] : x;

    /// <summary>The attribute of a layout; none for the default.</summary>
    internal static Attribute[] Attributes(HeadLayout layout) => layout == HeadLayout.Bshd ? [Attribute.Of("layout", "bshd")] : [];

    /// <summary>The end of an overload's name.</summary>
    internal static string Suffix(HeadLayout layout) => layout == HeadLayout.Bshd ? "_bshd" : "";

    /// <summary>In a body: a tensor of the layout as (B, H, T, D), and back.</summary>
    internal static Value ByHead(FunctionBody body, string name, Value x, HeadLayout layout) =>
        layout == HeadLayout.Bshd ? body.Op(name, "Transpose", [x], Attribute.Of("perm", new long[] { 0, 2, 1, 3 })) : x;
}
