using Halo.Ir;

namespace Halo.Operators;

/// <summary>Operators that give the same elements other axes, or repeat them.</summary>
internal static class ReshapingOperators
{
    public static IReadOnlyList<OperatorFacts> Facts { get; } =
    [
        new("", "Transpose")
        {
            Shapes = Transpose,
            FreeSizes = FreeTranspose,
            Role = new OperatorRole.View(ViewKind.Permutes),
            Recompute = RecomputeKind.View,
        },
        Relabels("Reshape", Reshape) with
        {
            FreeSizes = x => x.OnlyFree(0) && x.Node.Output.Shape is { IsStatic: true } to ? FreeSize.Split(x.Sizes[0]!, to.Sizes) : null,
            IsShapeInput = input => input == 1,
        },
        Relabels("Flatten", Flatten),
        Relabels("Squeeze", Squeeze) with { IsShapeInput = input => input == 1 },
        Relabels("Unsqueeze", Unsqueeze) with { IsShapeInput = input => input == 1 },
        new("", "Expand")
        {
            Shapes = Expand,
            Role = new OperatorRole.View(ViewKind.Repeats),
            Recompute = RecomputeKind.View,
            IsShapeInput = input => input == 1,
        },
        new("", "Tile") { Shapes = Tile, IsShapeInput = input => input == 1 },
        new("", "Resize") { IsShapeInput = input => input >= 1 },
        new("", "Upsample") { IsShapeInput = input => input >= 1 },
    ];

    private static OperatorFacts Relabels(string opType, InferenceRule shapes) =>
        new("", opType) { Shapes = shapes, Role = new OperatorRole.View(ViewKind.Relabels), Recompute = RecomputeKind.View };

    private static IReadOnlyList<FreeSize>? FreeTranspose(FreeOperands x)
    {
        var from = x.Sizes[0]!;
        var perm = x.Node.Ints("perm") ?? [.. Enumerable.Range(0, from.Count).Reverse().Select(a => (long)a)];
        return [.. perm.Select(a => from[(int)a])];
    }

    private static void Transpose(NodeInference i)
    {
        if (i.Shape(0) is not { } x)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var perm = i.Node.Ints("perm") ?? [.. Enumerable.Range(0, x.Rank).Reverse().Select(a => (long)a)];
        if (!perm.Order().SequenceEqual(Enumerable.Range(0, x.Rank).Select(a => (long)a)))
            throw i.Error($"a permutation of {x.Rank} axes", $"[{string.Join(", ", perm)}]");
        i.Set(i.Type(0), new Shape(perm.Select(a => x[(int)a])));
    }

    /// <summary>0 copies a size, unless allowzero; -1 takes what is left. One element that is not known is what is left as well.</summary>
    private static void Reshape(NodeInference i)
    {
        if (i.Elements(1) is not { } wanted)
        {
            i.Set(i.Type(0), i.Shape(1) is { Rank: 1 } length && length[0].Size is { } rank ? new Shape(Enumerable.Repeat(Dim.Unknown, (int)rank)) : null);
            return;
        }
        var x = i.Shape(0);
        var allowsZero = i.Node.Int("allowzero", 0) == 1;
        var dims = wanted.Select((d, axis) =>
            d.Size == 0 && !allowsZero ? (x is null ? Dim.Unknown : axis < x.Rank ? x[axis] : throw i.Error("a size to copy for each 0", x.ToString()))
            : d.Size == -1 ? Dim.Unknown : d).ToArray();
        var open = Enumerable.Range(0, dims.Length).Where(axis => dims[axis] == Dim.Unknown).ToArray();
        if (open.Length == 1 && x is not null)
            dims[open[0]] = Rest(i, x, [.. dims.Where((_, axis) => axis != open[0])], wanted);
        if (x?.ElementCount is { } count && new Shape(dims).ElementCount is { } result && count != result)
            throw i.Error($"a shape of {count} elements for {x}", $"[{string.Join(", ", wanted)}]");
        i.Set(i.Type(0), new Shape(dims));
    }

    private static Dim Rest(NodeInference i, Shape x, Dim[] others, Dim[] wanted)
    {
        if (x.ElementCount is { } count && new Shape(others).ElementCount is { } taken && (taken == 0 ? count != 0 : count % taken != 0))
            throw i.Error($"a shape that {count} elements of {x} fit", $"[{string.Join(", ", wanted)}]");
        return DimArithmetic.Quotient(x, others);
    }

    private static void Flatten(NodeInference i)
    {
        if (i.Shape(0) is not { } x)
        {
            i.Set(i.Type(0), new Shape([Dim.Unknown, Dim.Unknown]));
            return;
        }
        var axis = i.Node.Int("axis", 1);
        var at = (int)(axis < 0 ? axis + x.Rank : axis);
        i.Set(i.Type(0), new Shape([DimArithmetic.Product(x.Take(at)), DimArithmetic.Product(x.Skip(at))]));
    }

    private static void Squeeze(NodeInference i)
    {
        var axes = i.NumbersOrAttribute(1, "axes", out var isGiven);
        if (i.Shape(0) is not { } x || (isGiven && axes is null) || (!isGiven && !x.IsStatic))
        {
            i.Set(i.Type(0), null);
            return;
        }
        var dropped = axes?.Select(a => i.Axis(a, x.Rank)).ToHashSet() ?? [.. Enumerable.Range(0, x.Rank).Where(a => x[a].Size == 1)];
        if (dropped.Any(a => x[a].IsKnown && x[a].Size != 1))
            throw i.Error("size 1 in the squeezed axes", x.ToString());
        i.Set(i.Type(0), new Shape(x.Where((_, axis) => !dropped.Contains(axis))));
    }

    private static void Unsqueeze(NodeInference i)
    {
        if (i.Shape(0) is not { } x || i.NumbersOrAttribute(1, "axes", out _) is not { } axes)
        {
            i.Set(i.Type(0), null);
            return;
        }
        var rank = x.Rank + axes.Length;
        var added = axes.Select(a => i.Axis(a, rank)).ToHashSet();
        var rest = new Queue<Dim>(x);
        i.Set(i.Type(0), new Shape(Enumerable.Range(0, rank).Select(axis => added.Contains(axis) ? 1 : rest.Dequeue())));
    }

    private static void Expand(NodeInference i) =>
        i.Set(i.Type(0), i.Shape(0) is { } x && i.Elements(1) is { } shape ? ElementwiseOperators.Broadcast(i, x, new Shape(shape)) : null);

    private static void Tile(NodeInference i)
    {
        if (i.Shape(0) is not { } x)
            i.Set(i.Type(0), null);
        else if (i.Elements(1) is { } repeats)
            i.Set(i.Type(0), new Shape(x.Select((d, axis) => DimArithmetic.Multiply(d, repeats[axis]))));
        else
            i.Set(i.Type(0), new Shape(x.Select(_ => Dim.Unknown)));
    }
}
