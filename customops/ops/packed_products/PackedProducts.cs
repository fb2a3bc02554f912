using Halo.Building;
using Halo.Ir;

namespace Halo.CustomOps;

/// <summary>Products of one matrix with up to three weights that are held in 2, 4 or 8 bits, side by side or as a gated unit.</summary>
/// <remarks>
/// A (..., K) float32, float16 or bfloat16; for each weight codes (N, B, block_size bits / 8) uint8, scales (N, B) of the type of A, zeros (N, ceil(B bits / 8))
/// uint8 or left out (2^(bits - 1)), of all weights or of none, bias (N) or left out; B = ceil(K / block_size) -> Y (..., sum of N), or (..., N) where gated,
/// of the type of A. Attributes: bits (4), block_size (32), gated (0).
/// W = (code - zero) * scale; Y = [A W0^T + bias0 | A W1^T + bias1 | ..], or silu(A W0^T + bias0) (A W1^T + bias1), in float32. Weights are those of MatMulNBits
/// [ONNX Runtime, docs/ContribOperators.md], which multiplies by one. A GPU's decoding reads query, key and value by one kernel this way, and the feed-forward
/// layer's gate and up by one.
/// </remarks>
public sealed class PackedProducts : HaloOperator
{
    /// <summary>Weights at most, and inputs that each has.</summary>
    public const int MostWeights = 3, InputsOfWeight = 4;

    private static readonly string[] OfWeight = ["codes", "scales", "zeros", "bias"];

    public override string OpType => nameof(PackedProducts);

    public override string Schema => "PackedProducts(A: T, codes0: uint8, scales0: T, zeros0?: uint8, bias0?: T, codes1?: uint8, scales1?: T, zeros1?: uint8,"
        + " bias1?: T, codes2?: uint8, scales2?: T, zeros2?: uint8, bias2?: T) -> Y: T; T: float, float16, bfloat16";

    public override void InferShapes(Node node)
    {
        var a = node.Inputs[0]!;
        node.Output.Type = a.Type;
        if (a.Shape is not { Rank: >= 1 } shape)
            return;
        var (bits, block, gated, count) = (node.Int("bits", 4), node.Int("block_size", 32), node.Int("gated", 0) != 0, CountOf(node));
        if (gated && count != 2)
            throw new HaloException("packed-products", node.ToString(), "two weights for a gated product", $"{count}", "Give gate and up.");
        var rows = Enumerable.Range(0, count).Select(i => node.Input(First(i))!.Shape is { Rank: 3 } codes ? codes[0].Size : null).ToList();
        for (var i = 0; i < count && shape[^1].Size is { } k; i++)
        {
            if ((gated ? rows[0] : rows[i]) is not { } n)
                continue;
            var blocks = (k + block - 1) / block;
            var sizes = new[] { new Shape([n, blocks, block * bits / 8]), new Shape([n, blocks]), new Shape([n, ((blocks * bits) + 7) / 8]), new Shape([n]) };
            foreach (var (j, (name, wanted)) in OfWeight.Zip(sizes).Index())
            {
                if (node.Input(First(i) + j) is { } given)
                    ShapeRule.Require("packed-products", node, given, $"{name}{i}", wanted, "Code whole blocks of rows.");
            }
        }
        Dim columns = gated ? rows[0] is { } own ? own : default(Dim) : rows.TrueForAll(n => n is not null) ? rows.Sum(n => n!.Value) : default(Dim);
        node.Output.Shape = new Shape([.. shape.SkipLast(1), columns]);
    }

    public override FunctionBody Body(Node node)
    {
        var (type, gated) = (node.Inputs[0]!.Type, node.Int("gated", 0) != 0);
        var body = new FunctionBody([.. ((string[])["A"]).Concat(Enumerable.Range(0, CountOf(node)).SelectMany(i => OfWeight.Select(name => $"{name}{i}")))])
        {
            AttributeNames = [.. ((string[])["bits", "block_size", "gated"]).Where(node.Attributes.ContainsKey)],
        };
        var a = body.ToFloat("a", body.Input(0), type);
        var products = Enumerable.Range(0, CountOf(node)).Select(i => Product(body, node, a, i, type)).ToList();
        var y = products[0];
        if (gated)
            y = body.Op("gated_y", "Mul", [body.Op("silu", "Div", [products[0], SwiGlu.OnePlusExp(body, products[0])]), products[1]]);
        else if (products.Count > 1)
            y = body.Op("all", "Concat", [.. products], Attribute.Of("axis", -1L));
        return body.Output("Y", body.FromFloat("rounded", y, type));
    }

    /// <summary>A W^T + bias in float32.</summary>
    private static Value Product(FunctionBody body, Node node, Value a, int i, ElementType type)
    {
        var (bits, block, sizes) = ((int)node.Int("bits", 4), node.Int("block_size", 32), node.Input(First(i))!.Shape!);
        var (k, blocks) = (node.Inputs[0]!.Shape![^1].Size!.Value, sizes[1].Size!.Value);
        body.Prefix = $"w{i}.";
        Value Int64s(string name, params ReadOnlySpan<long> values) => body.Constant(name, Tensor.Int64s(values));
        var last = Int64s("last", -1);
        var fields = Fields(body, "code", body.Input(First(i)), bits, last);
        var codes = body.Cast("numbers", body.Op("blocks", "Reshape", [fields, Int64s("blocked", -1, blocks, block)]), ElementType.Float);
        Value zeros;
        if (node.Input(First(i) + 2) is { } packed)
        {
            var all = Fields(body, "zero", body.Input(First(i) + 2), bits, last);
            var rows = body.Op("zero_rows", "Reshape", [all, Int64s("zero_sizes", -1, packed.Shape![1].Size!.Value * (8 / bits))]);
            var kept = body.Op("zeros_kept", "Slice", [rows, Int64s("zero_begin", 0), Int64s("zero_end", blocks), Int64s("zero_axis", 1)]);
            zeros = body.Op("zeros", "Unsqueeze", [body.Cast("points", kept, ElementType.Float), last]);
        }
        else
        {
            zeros = body.Constant("middle", Tensor.Scalar((float)(1 << (bits - 1))));
        }
        var scales = body.Op("scale", "Unsqueeze", [body.ToFloat("steps", body.Input(First(i) + 1), type), last]);
        var x = body.Op("x", "Mul", [body.Op("signed", "Sub", [codes, zeros]), scales]);
        var padded = body.Op("rows", "Reshape", [x, Int64s("padded", -1, blocks * block)]);
        var weight = body.Op("weight", "Slice", [padded, Int64s("begin", 0), Int64s("end", k), Int64s("axis", 1)]);
        var product = body.Op("product", "MatMul", [a, body.Op("turned", "Transpose", [weight], Attribute.Of("perm", [1L, 0L]))]);
        if (node.Input(First(i) + 3) is not null)
            product = body.Op("biased", "Add", [product, body.ToFloat("bias_float", body.Input(First(i) + 3), type)]);
        body.Prefix = "";
        return product;
    }

    /// <summary>The codes that bytes hold, the lowest bits first, along an axis of their own.</summary>
    private static Value Fields(FunctionBody body, string name, Value bytes, int bits, Value last)
    {
        if (bits == 8)
            return bytes;
        Value Byte(string part, int value) => body.Constant($"{name}_{part}", Tensor.Of<byte>(ElementType.UInt8, [], [(byte)value]));
        var (mask, fields) = (Byte("mask", (1 << bits) - 1), new List<Value?>());
        for (var bit = 0; bit < 8; bit += bits)
        {
            var shifted = bit == 0 ? bytes : body.Op($"{name}_shifted{bit}", "BitShift", [bytes, Byte($"bit{bit}", bit)], Attribute.Of("direction", "RIGHT"));
            fields.Add(body.Op($"{name}_field{bit}", "Unsqueeze", [body.Op($"{name}_low{bit}", "BitwiseAnd", [shifted, mask]), last]));
        }
        return body.Op($"{name}_fields", "Concat", [.. fields], Attribute.Of("axis", -1L));
    }

    internal static int First(int weight) => 1 + (InputsOfWeight * weight);

    private static int CountOf(Node node) => Enumerable.Range(0, MostWeights).Count(i => node.Input(First(i)) is not null);
}

/// <summary>A weight of <see cref="CustomOps.PackedProducts"/>: codes and scales, zeros and bias or null.</summary>
public sealed record PackedWeight(Value Codes, Value Scales, Value? Zeros, Value? Bias);

/// <summary>Makes <see cref="CustomOps.PackedProducts"/> nodes.</summary>
public static class PackedProductsExtensions
{
    /// <summary>Products of <paramref name="a"/> with <paramref name="weights"/>, side by side, or gated.</summary>
    public static Value PackedProducts(this GraphBuilder build, Value a, IReadOnlyList<PackedWeight> weights, long bits, long block, bool gated, string name)
    {
        var inputs = new List<Value?> { a };
        foreach (var w in weights)
            inputs.AddRange([w.Codes, w.Scales, w.Zeros, w.Bias]);
        while (inputs[^1] is null)
            inputs.RemoveAt(inputs.Count - 1);
        var sizes = weights.Select(w => $"{w.Codes.Shape![0].Size}{(w.Zeros is null ? "" : "z")}{(w.Bias is null ? "" : "b")}");
        var overload = $"{HaloOperators.OverloadOf("packed-products", a)}_{bits}_{block}_{a.Shape![^1].Size}_{string.Join('x', sizes)}{(gated ? "_gated" : "")}";
        Attribute[] attributes = [Attribute.Of("bits", bits), Attribute.Of("block_size", block), Attribute.Of("gated", gated ? 1L : 0L)];
        return HaloOperators.Call(build, name, nameof(PackedProducts), [.. inputs], 1, overload.TrimStart('_'), attributes).Output;
    }
}
