using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Operators that cut tensors, join them, pad them or sum along them.</summary>
internal static class SlicingGradients
{
    public static Dictionary<string, GradientRule> Rules { get; } = new()
    {
        ["Concat"] = Concat,
        ["Split"] = Split,
        ["Slice"] = g => g.Add(0, () => Slice(g)),
        ["Pad"] = Pad,
        ["Trilu"] = g => g.Add(0, () => g.Op("Trilu", [g.D, g.Node.Input(1)], [.. g.Node.Attributes.Values])),
        ["CumSum"] = g => g.Add(0, () => g.Op("CumSum", [g.D, g.In(1)], Attribute.Of("exclusive", g.Node.Int("exclusive", 0)),
            Attribute.Of("reverse", 1 - g.Node.Int("reverse", 0)))),
    };

    private static void Concat(NodeGradient g)
    {
        var axis = Axis(g, g.Node.Int("axis", 0));
        var start = 0L;
        for (var i = 0; i < g.Node.Inputs.Count; i++)
        {
            var (from, to) = (start, start += g.In(i).Shape!.Sizes[axis]);
            g.Add(i, () => g.Op("Slice", g.D, g.Ints(from), g.Ints(to), g.Ints(axis)));
        }
    }

    private static void Split(NodeGradient g) => g.Add(0, () =>
    {
        var parts = g.Node.Outputs.Select((output, i) => g.DOf(i) ?? g.Zeros(output)).ToArray();
        return parts.Length == 1 ? parts[0] : g.Op("Concat", [.. parts], Attribute.Of("axis", (long)Axis(g, g.Node.Int("axis", 0))));
    });

    /// <summary>Puts each element back where it was taken from, zeros between them: an axis at a time.</summary>
    private static Value Slice(NodeGradient g)
    {
        var sizes = g.In(0).Shape!.Sizes;
        var starts = g.Constant(1);
        var axes = g.Node.Input(3) is null ? [.. Enumerable.Range(0, starts.Length)] : g.Constant(3).Select(a => Axis(g, a)).ToArray();
        var steps = g.Node.Input(4) is null ? [.. starts.Select(_ => 1L)] : g.Constant(4);
        var d = g.D;
        for (var s = 0; s < axes.Length; s++)
        {
            var (axis, step) = (axes[s], steps[s]);
            var (size, count) = (sizes[axis], d.Shape!.Sizes[axis]);
            var first = Math.Clamp(starts[s] < 0 ? starts[s] + size : starts[s], 0, step > 0 ? size : Math.Max(size - 1, 0));
            if (count == 0)
                first = 0;
            if (step < 0 && count > 1)
                d = g.Op("Slice", d, g.Ints(-1), g.Ints(long.MinValue), g.Ints(axis), g.Ints(-1));
            if (step < 0)
                (first, step) = (first + ((count - 1) * step), -step);
            if (step > 1 && count > 1)
                (d, count) = (Spread(g, d, axis, step), ((count - 1) * step) + 1);
            d = PadAxis(g, d, axis, count == 0 ? 0 : first, count == 0 ? size : size - first - count);
        }
        return d;
    }

    /// <summary>Puts step - 1 zeros between the elements along an axis.</summary>
    private static Value Spread(NodeGradient g, Value d, int axis, long step)
    {
        var sizes = d.Shape!.Sizes.ToList();
        var count = sizes[axis];
        sizes.Insert(axis + 1, 1);
        d = PadAxis(g, g.Reshape(d, [.. sizes]), axis + 1, 0, step - 1);
        sizes.RemoveAt(axis + 1);
        sizes[axis] = count * step;
        return PadAxis(g, g.Reshape(d, [.. sizes]), axis, 0, 1 - step);
    }

    private static Value PadAxis(NodeGradient g, Value d, int axis, long before, long behind)
    {
        if (before == 0 && behind == 0)
            return d;
        var pads = new long[2 * d.Shape!.Rank];
        (pads[axis], pads[axis + d.Shape.Rank]) = (before, behind);
        return g.Op("Pad", d, g.Ints(pads));
    }

    private static void Pad(NodeGradient g)
    {
        if (g.Node.String("mode", "constant") is var mode and not "constant")
            throw g.Refused("padding by a constant", $"mode {mode}", "Pad by a constant, or freeze what lies before the node.");
        if (g.Needs(2))
            throw g.Refused("a constant to pad with", "one that depends on a parameter", "Pad with a constant.");
        g.Add(0, () => g.Op("Pad", [g.D, g.Ints(Array.ConvertAll(g.Constant(1), p => -p)), null, g.Node.Input(3)]));
    }

    private static int Axis(NodeGradient g, long axis) => (int)(axis < 0 ? axis + g.Y.Shape!.Rank : axis);
}
