using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Training.Gradients;

/// <summary>QuantizeLinear and DequantizeLinear, between which training goes on as if nothing were rounded.</summary>
/// <remarks>
/// y = (clamp(round(x / s) + z, low, high) - z) s, where the gradient of round is taken as 1 [Bengio 2013, arXiv 1308.3432]: dx = dy where round(x / s) + z
/// lies in [low, high], and 0 where it is clipped, as PyTorch's FakeQuantize has it. ds = sum of dy ((y / s) - x / s) where it lies inside and of
/// dy (y / s) elsewhere [LSQ, arXiv 1902.08153, equation 3]; DequantizeLinear adds the first part of it, QuantizeLinear the second. Codes between them have
/// a float32 gradient, that of what they stand for; they may be clipped (a narrower range, as of Brevitas) and moved. Scale (), (1), (C) along an axis, or
/// blocks of one axis.
/// </remarks>
internal static class StraightThrough
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["QuantizeLinear"] = Quantize,
        ["DequantizeLinear"] = Dequantize,
        // Scale and zero point follow the range of x, and count as constants.
        ["DynamicQuantizeLinear"] = g => g.Add(0, () => g.Cast(g.D, g.In(0).Type)),
    };

    /// <summary>The output holds codes that carry the gradient of what they stand for.</summary>
    public static bool MakesCodes(Node node, Value output, IReadOnlySet<Value> values)
    {
        if (output.Type.IsFloat() || (output.ProducerIndex != 0 && !node.Is("Split")) || node.Input(0) is not { } input || !values.Contains(input))
            return false;
        return node.Is("QuantizeLinear") || node.Is("DynamicQuantizeLinear") || (!input.Type.IsFloat() && input.Type == output.Type && PassesCodes(node));
    }

    /// <summary>The node takes codes as what they stand for.</summary>
    public static bool ReadsCodes(Node node) => node.Is("DequantizeLinear") || PassesCodes(node);

    private static bool PassesCodes(Node node) =>
        node.Is("Clip") || node.Is("Gather") || node.Facts.Role is OperatorRole.View { Kind: not ViewKind.Converts };

    private static void Quantize(NodeGradient g)
    {
        var (x, scale) = (g.In(0), g.In(1));
        if (!g.Needs(0) && !g.Needs(1))
            return;
        var ratio = g.Op("Div", g.Cast(x, ElementType.Float), Spread(g, scale, x));
        var zero = g.Scalar(0, ElementType.Float);
        g.Add(0, () => g.Cast(g.Op("Where", Inside(g, ratio, x), g.D, zero), x.Type));
        g.Add(1, () => g.Op("Neg", Gathered(g, g.Op("Where", Inside(g, ratio, x), g.Op("Mul", g.D, ratio), zero), scale)));
    }

    private static void Dequantize(NodeGradient g)
    {
        var (codes, scale, d) = (g.In(0), g.In(1), g.Cast(g.D, ElementType.Float));
        if (g.Needs(0))
            CheckPair(g, codes, scale);
        g.Add(0, () => d);
        g.Add(1, () => Gathered(g, g.Op("Mul", d, g.Op("Div", g.Cast(g.Y, ElementType.Float), Spread(g, scale, codes))), scale));
    }

    /// <summary>True where an element is not clipped.</summary>
    private static Value Inside(NodeGradient g, Value ratio, Value x)
    {
        var (low, high, isFloat) = Range(g);
        var codes = isFloat ? ratio : g.Op("Round", ratio);
        if (g.Node.Input(2) is { } zeroPoint && zeroPoint.Constant?.ToBytes().AsSpan().ContainsAnyExcept((byte)0) != false)
            codes = g.Op("Add", codes, Spread(g, zeroPoint, x));
        return g.Op("And", g.Op("GreaterOrEqual", codes, g.Scalar(low, ElementType.Float)), g.Op("LessOrEqual", codes, g.Scalar(high, ElementType.Float)));
    }

    /// <summary>The least and the largest code [ONNX, IR: element types].</summary>
    private static (double Low, double High, bool IsFloat) Range(NodeGradient g) => g.Y.Type switch
    {
        ElementType.Int2 => (-2, 1, false),
        ElementType.UInt2 => (0, 3, false),
        ElementType.Int4 => (-8, 7, false),
        ElementType.UInt4 => (0, 15, false),
        ElementType.Int8 => (sbyte.MinValue, sbyte.MaxValue, false),
        ElementType.UInt8 => (byte.MinValue, byte.MaxValue, false),
        ElementType.Int16 => (short.MinValue, short.MaxValue, false),
        ElementType.UInt16 => (ushort.MinValue, ushort.MaxValue, false),
        ElementType.Float4E2M1 => (-6, 6, true),
        ElementType.Float8E4M3FN => (-448, 448, true),
        ElementType.Float8E4M3FNUZ => (-240, 240, true),
        ElementType.Float8E5M2 or ElementType.Float8E5M2FNUZ => (-57344, 57344, true),
        var other => throw g.Refused("codes of 2 to 16 bits", other.Name(), "Freeze what lies before the node."),
    };

    /// <summary>Codes go back to where they came from: the scale is the same, or the gradient would be of something else.</summary>
    private static void CheckPair(NodeGradient g, Value codes, Value scale)
    {
        var isMoved = false;
        while (codes.Producer is { } node && PassesCodes(node))
        {
            isMoved |= !node.Is("Clip") && !node.Is("Identity");
            codes = node.Inputs[0]!;
        }
        var made = codes.Producer!;
        var other = made.Is("QuantizeLinear") ? made.Inputs[1]! : made.Outputs[1];
        if (!IsSame(scale, other))
            throw g.Refused($"the scale of {made}, '{other.Name}'", $"'{scale.Name}'", "Dequantize by the scale that quantized, or freeze what lies before.");
        if (isMoved && scale.Shape!.ElementCount != 1)
            throw g.Refused($"one scale for the whole tensor, as its codes are moved between {made} and here", $"scales {scale.Shape}",
                "Move the tensor before it is quantized or behind it.");
        if (!isMoved && made.Is("QuantizeLinear")
            && ((made.Int("axis", 1) != g.Node.Int("axis", 1) && scale.Shape!.ElementCount != 1) || made.Int("block_size", 0) != g.Node.Int("block_size", 0)))
            throw g.Refused($"the axis and blocks of {made}", "others", "Dequantize as was quantized, or freeze what lies before.");
    }

    private static bool IsSame(Value a, Value b) => a == b || (a.Constant is { } x && b.Constant is { } y && x.Type == y.Type && x.Sizes.SequenceEqual(y.Sizes)
        && x.ToBytes().AsSpan().SequenceEqual(y.ToBytes()));

    /// <summary>A scale or zero point for every element, or so that it broadcasts, in float32.</summary>
    private static Value Spread(NodeGradient g, Value scale, Value x)
    {
        var (sizes, own) = (x.Shape!.Sizes, scale.Shape!.Sizes);
        var wide = g.Cast(scale, ElementType.Float);
        if (scale.Shape.ElementCount == 1)
            return g.Reshape(wide);
        var (axis, block) = AxisOf(g, scale, x);
        if (block == 0)
            return g.Reshape(wide, [.. sizes.Select((size, a) => a == axis ? size : 1)]);
        long[] apart = [.. own.Take(axis + 1), 1, .. own.Skip(axis + 1)], repeated = [.. own.Take(axis + 1), block, .. own.Skip(axis + 1)];
        var whole = g.Reshape(g.Expand(g.Reshape(wide, apart), repeated), [.. own.Select((n, a) => a == axis ? n * block : n)]);
        return own[axis] * block == sizes[axis] ? whole : g.Op("Slice", whole, g.Ints(0), g.Ints(sizes[axis]), g.Ints(axis));
    }

    /// <summary>The sum of a gradient over the elements that a scale stands for.</summary>
    private static Value Gathered(NodeGradient g, Value full, Value scale)
    {
        var (sizes, own) = (full.Shape!.Sizes, scale.Shape!.Sizes);
        int[] axes = [.. Enumerable.Range(0, sizes.Length)];
        if (scale.Shape.ElementCount == 1)
            return g.Cast(g.Reshape(g.Sum(full, axes, keepsDims: false), own), scale.Type);
        var (axis, block) = AxisOf(g, scale, full);
        if (block == 0)
            return g.Cast(g.Sum(full, [.. axes.Where(a => a != axis)], keepsDims: false), scale.Type);
        if (own[axis] * block != sizes[axis])
            throw g.Refused($"whole blocks of {block} along axis {axis}, as their scale is trained", $"{sizes[axis]} elements", $"Freeze '{scale.Name}'.");
        var apart = g.Reshape(full, [.. sizes.Take(axis), own[axis], block, .. sizes.Skip(axis + 1)]);
        return g.Cast(g.Sum(apart, [axis + 1], keepsDims: false), scale.Type);
    }

    private static (int Axis, long Block) AxisOf(NodeGradient g, Value scale, Value x)
    {
        var (sizes, own, axis, block) = (x.Shape!.Sizes, scale.Shape!.Sizes, g.Node.Int("axis", 1), g.Node.Int("block_size", 0));
        axis = axis < 0 ? axis + sizes.Length : axis;
        var fits = axis >= 0 && axis < sizes.Length && block >= 0 && (block == 0 ? own.Length == 1 && own[0] == sizes[axis]
            : own.Length == sizes.Length && own.Index().All(o => o.Item == (o.Index == axis ? (sizes[o.Index] + block - 1) / block : sizes[o.Index])));
        return fits ? ((int)axis, block) : throw g.Refused($"scales for {x.Shape} along axis {axis}{(block > 0 ? $" in blocks of {block}" : "")}",
            $"{scale.Shape}", "Correct axis, block_size or scales.");
    }
}
