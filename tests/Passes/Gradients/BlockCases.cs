using Halo.CustomOps;
using Halo.Ir;
using static Halo.Tests.Passes.Gradients.GradientCase;

namespace Halo.Tests.Passes.Gradients;

/// <summary>Normalizations, attention and rotary embedding: ONNX's operators and those of com.halo.</summary>
internal static class BlockCases
{
    private static readonly Attribute Heads = Attribute.Of("q_num_heads", 4L);

    private static readonly Attribute Groups = Attribute.Of("kv_num_heads", 2L);

    public static IEnumerable<GradientCase> All { get; } =
    [
        new("scale and bias", "LayerNormalization", [X(2, 3, 4), X(4), X(4)]),
        new("no bias, two axes", "LayerNormalization", [X(2, 3, 4), X(3, 4)], Attribute.Of("axis", 1L), Attribute.Of("epsilon", 0.1f)),
        new("last axis", "RMSNormalization", [X(2, 3, 4), X(4)], Attribute.Of("epsilon", 1e-6f)) { Opset = 23 },
        new("two axes", "RMSNormalization", [X(2, 3, 4), X(3, 4)], Attribute.Of("axis", -2L)) { Opset = 23, Type = ElementType.Float },
        new("last axis", "SimplifiedLayerNormalization", [X(2, 3, 4), X(4)]),
        .. Attentions.Select(c => c with { Opset = 24, Type = ElementType.Float }),
        .. new[] { (0L, 0L), (1L, 0L), (0L, 4L), (1L, 4L) }.Select(p => new GradientCase($"interleaved {p.Item1}, dim {p.Item2}", "RotaryEmbedding",
            [X(2, 2, 3, 6), Table(2, 3, p.Item2 == 0 ? 3 : 2, Math.Cos), Table(2, 3, p.Item2 == 0 ? 3 : 2, Math.Sin)], Attribute.Of("interleaved", p.Item1),
            Attribute.Of("rotary_embedding_dim", p.Item2)) { Opset = 24, Type = ElementType.Float }),
        new("rank 3, positions", "RotaryEmbedding", [X(2, 3, 8), Table(5, 2, Math.Cos), Table(5, 2, Math.Sin), Index([2, 3], 0, 1, 2, 4, 3, 1)],
            Attribute.Of("num_heads", 2L)) { Opset = 24, Type = ElementType.Float },
        .. OfHalo.Select(c => c with { Type = ElementType.Float }),
    ];

    private static IEnumerable<GradientCase> Attentions =>
    [
        new("causal", "Attention", [X(2, 2, 3, 4), X(2, 2, 3, 4), X(2, 2, 3, 4)], Attribute.Of("is_causal", 1L)),
        new("grouped heads, scale", "Attention", [X(2, 4, 3, 4), X(2, 2, 5, 4), X(2, 2, 5, 4)], Attribute.Of("scale", 0.3f)),
        new("a boolean mask", "Attention", [X(1, 2, 3, 4), X(1, 2, 2, 4), X(1, 2, 2, 5), Bools([3, 2], 1, 0, 1, 1, 0, 1)]),
        new("a trained mask", "Attention", [X(2, 2, 3, 4), X(2, 2, 2, 4), X(2, 2, 2, 4), X(2, 1, 3, 2)]),
        new("rank 3", "Attention", [X(2, 3, 16), X(2, 3, 8), X(2, 3, 8)], Heads, Groups, Attribute.Of("is_causal", 1L)),
    ];

    private static IEnumerable<GradientCase> OfHalo =>
    [
        new("rows", "com.halo.RmsNorm", [X(2, 3, 4), X(4)]) { Build = (b, x) => b.RmsNorm(x[0]!, x[1]!, 1e-5f, "n").Y },
        new("matrices", "com.halo.SwiGlu", [X(2, 3), X(2, 3)]) { Build = (b, x) => b.SwiGlu(x[0]!, x[1]!, "n") },
        new("rows", "com.halo.RotaryEmbedding", [X(2, 2, 3, 4), Table(3, 2, Math.Cos), Table(3, 2, Math.Sin)])
        {
            Build = (b, x) => b.RotaryEmbedding(x[0]!, x[1]!, x[2]!, null, false, "n"),
        },
        new("positions, inverse", "com.halo.RotaryEmbedding", [X(2, 2, 3, 4), Table(5, 2, Math.Cos), Table(5, 2, Math.Sin), Index([2, 3], 0, 1, 2, 4, 3, 1)])
        {
            Build = (b, x) => b.RotaryEmbedding(x[0]!, x[1]!, x[2]!, x[3], true, "n"),
        },
        new("causal, mask", "com.halo.Attention", [X(2, 4, 3, 4), X(2, 2, 3, 4), X(2, 2, 3, 4), Index([2, 3], 1, 1, 0, 1, 0, 1)])
        {
            Build = (b, x) => b.Attention(x[0]!, x[1]!, x[2]!, x[3], null, true, 0.4f, "n").Y,
        },
        new("an ignored row", "com.halo.CrossEntropy", [X(4, 3), Index([4], 1, -100, 2, 2)])
        {
            Build = (b, x) => b.CrossEntropy(x[0]!, x[1]!, "n").Loss,
        },
        new("some are dropped", "com.halo.Dropout", [X(3, 5), Index([], 7), Index([], 2)])
        {
            Build = (b, x) => b.Dropout(x[0]!, x[1]!, x[2]!, 0.4f, 3, "n"),
        },
        new("columns", "com.halo.HadamardTransform", [X(3, 4)]) { Build = (b, x) => b.HadamardTransform(x[0]!, 1, [4], false, "n") },
        new("rows, inverse", "com.halo.HadamardTransform", [X(12, 3)]) { Build = (b, x) => b.HadamardTransform(x[0]!, 0, [12], true, "n") },
    ];

    private static Argument Table(long rows, long columns, Func<double, double> f) => Table(1, rows, columns, f, [rows, columns]);

    private static Argument Table(long batch, long rows, long columns, Func<double, double> f) => Table(batch, rows, columns, f, [batch, rows, columns]);

    private static Argument Table(long batch, long rows, long columns, Func<double, double> f, long[] sizes) =>
        new() { Constant = Tensor.Floats(sizes, [.. Enumerable.Range(0, (int)(batch * rows * columns)).Select(i => (float)f(0.7 * i + 0.2))]) };
}
