using Halo.Ir;

namespace Halo.Operators;

/// <summary>Operators that cut tensors, join them or pad them.</summary>
internal static class SlicingOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "Concat") { Shapes = Concat, FreeSizes = FreeConcat, Recompute = RecomputeKind.View },
        new("", "Split")
        {
            Shapes = Split,
            FreeSizes = FreeCut,
            Role = new OperatorRole.View(ViewKind.Cuts),
            Recompute = RecomputeKind.View,
            IsShapeInput = input => input == 1,
        },
        new("", "Slice")
        {
            Shapes = Slice,
            FreeSizes = FreeCut,
            Role = new OperatorRole.View(ViewKind.Cuts),
            Recompute = RecomputeKind.View,
            IsShapeInput = input => input >= 1,
        },
        new("", "Pad") { Shapes = Pad, IsShapeInput = input => input is 1 or 3 },
    ];

    /// <summary>First index and number of the elements that a slice takes of <paramref name="size"/> [ONNX Slice-13].</summary>
    public static (long First, long Count) Range(long size, long start, long end, long step)
    {
        var first = Math.Clamp(start < 0 ? start + size : start, 0, step > 0 ? size : Math.Max(size - 1, 0));
        var last = Math.Clamp(end < 0 ? end + size : end, step > 0 ? 0 : -1, step > 0 ? size : Math.Max(size - 1, 0));
        if (size == 0)
            return (0, 0);
        return (first, SourceOperators.RangeCount(first, last, step));
    }

    /// <summary>The first part of a cut along axes of fixed sizes.</summary>
    private static IReadOnlyList<FreeSize>? FreeCut(FreeOperands x)
    {
        if (!x.OnlyFree(0) || x.Node.Output.Shape is not { IsStatic: true } to)
            return null;
        var from = x.Sizes[0]!;
        return from.Zip(to.Sizes).All(s => !s.First.IsFree || s.First.Was == s.Second)
            ? [.. from.Zip(to.Sizes, (before, after) => before.IsFree ? before : FreeSize.Of(after))] : null;
    }

    /// <summary>Parts beside each other along an axis of fixed sizes.</summary>
    private static IReadOnlyList<FreeSize>? FreeConcat(FreeOperands x)
    {
        if (x.Node.Output.Shape is not { IsStatic: true } to)
            return null;
        var axis = (int)(x.Node.Int("axis", 0) is var given && given < 0 ? given + to.Rank : given);
        return x.Sizes.All(s => s is not null && s.Index().All(size => size.Index == axis ? !size.Item.IsFree : size.Item.Equals(x.Sizes[0]![size.Index])))
            ? [.. x.Sizes[0]!.Select((s, a) => a == axis ? FreeSize.Of(to.Sizes[axis]) : s)] : null;
    }

    private static void Concat(NodeInference i)
    {
        var shapes = Enumerable.Range(0, i.Node.Inputs.Count).Select(i.Shape).ToList();
        if (shapes.Find(s => s is not null) is not { } known)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var axis = i.Axis(i.Node.Int("axis", 0), known.Rank);
        var dims = known.ToArray();
        dims[axis] = shapes.Aggregate(Dim.Of(0), (sum, s) => DimArithmetic.Add(sum, s?[axis] ?? Dim.Unknown));
        foreach (var shape in shapes.OfType<Shape>())
        {
            if (shape.Rank != known.Rank)
                throw i.Error($"rank {known.Rank} of every input", shape.ToString());
            for (var a = 0; a < dims.Length; a++)
            {
                if (a == axis)
                    continue;
                if (shape[a].IsKnown && dims[a].IsKnown && shape[a] != dims[a])
                    throw i.Error($"equal sizes but for axis {axis}", $"{known} and {shape}");
                if (shape[a].IsKnown || dims[a] == Dim.Unknown)
                    dims[a] = shape[a];
            }
        }
        i.Set(i.Type(0), new Shape(dims));
    }

    /// <summary>Sizes are an input; without it the axis is cut in equal parts, the last one smaller if need be.</summary>
    private static void Split(NodeInference i)
    {
        var count = i.Node.Outputs.Count;
        var sizes = i.NumbersOrAttribute(1, "split", out var isGiven);
        for (var output = 0; output < count; output++)
        {
            if (i.Shape(0) is not { } x)
            {
                i.Set(output, i.Type(0), null);
                continue;
            }
            var dims = x.ToArray();
            var axis = i.Axis(i.Node.Int("axis", 0), x.Rank);
            var parts = i.Node.Int("num_outputs", count);
            if (sizes is not null && (sizes.Length != count || (dims[axis].Size is { } total && total != sizes.Sum())))
                throw i.Error($"{count} sizes that sum to {dims[axis]}", $"[{string.Join(", ", sizes)}]");
            if (isGiven)
                dims[axis] = sizes?[output] ?? Dim.Unknown;
            else if (dims[axis].Size is { } size)
                dims[axis] = Math.Min((size + parts - 1) / parts, size - ((size + parts - 1) / parts * output));
            else
                dims[axis] = Dim.Unknown;
            i.Set(output, i.Type(0), new Shape(dims));
        }
    }

    private static void Slice(NodeInference i)
    {
        if (i.Shape(0) is not { } x)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var (starts, ends) = (i.Elements(1), i.Elements(2));
        var count = starts?.Length ?? ends?.Length;
        var axes = i.Node.Input(3) is not null ? i.Numbers(3) : count is null ? null : [.. Enumerable.Range(0, count.Value).Select(a => (long)a)];
        var steps = i.Node.Input(4) is not null ? i.Elements(4) : count is null ? null : [.. Enumerable.Repeat(Dim.Of(1), count.Value)];
        if (axes is null)
        {
            i.Set(i.Type(0), new Shape(x.Select(_ => Dim.Unknown)));
            return;
        }
        var dims = x.ToArray();
        for (var s = 0; s < axes.Length; s++)
        {
            var axis = i.Axis(axes[s], x.Rank);
            dims[axis] = Sliced(x[axis], starts?[s] ?? default, ends?[s] ?? default, steps?[s] ?? default);
        }
        i.Set(i.Type(0), new Shape(dims));
    }

    /// <summary>A size after slicing. Of a symbol it is known if the slice takes everything.</summary>
    private static Dim Sliced(Dim size, Dim start, Dim end, Dim step)
    {
        if (size.Size is { } number && start.Size is { } first && end.Size is { } last && step.Size is { } stride and not 0)
            return Range(number, first, last, stride).Count;
        var takesAll = step.Size == 1 ? start.Size == 0 && (end.Size >= int.MaxValue || (end.Symbol is not null && end == size))
            : step.Size == -1 && (start.Size is -1 or >= int.MaxValue) && end.Size <= -int.MaxValue;
        if (takesAll)
            return size;
        // of sequence + 1 elements one can surely be left out at either side
        var (before, behind) = (start.Size, end.Size >= int.MaxValue ? 0 : end.Size < 0 ? -end.Size : null);
        return step.Size == 1 && before >= 0 && behind is not null && before + behind <= DimArithmetic.Offset(size)
            ? DimArithmetic.Add(size, -(before.Value + behind.Value))
            : Dim.Unknown;
    }

    /// <summary>pads holds what is added before each axis, then what is added behind; negative values cut.</summary>
    private static void Pad(NodeInference i)
    {
        if (i.Shape(0) is not { } x)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var pads = i.Elements(1);
        var axes = i.Node.Input(3) is null ? [.. Enumerable.Range(0, x.Rank).Select(a => (long)a)] : i.Numbers(3);
        var dims = axes is null ? new Dim[x.Rank] : x.ToArray();
        for (var a = 0; a < axes?.Length; a++)
        {
            var axis = i.Axis(axes[a], x.Rank);
            dims[axis] = pads is null ? Dim.Unknown : DimArithmetic.Add(dims[axis], DimArithmetic.Add(pads[a], pads[axes.Length + a]));
        }
        i.Set(i.Type(0), new Shape(dims));
    }
}
