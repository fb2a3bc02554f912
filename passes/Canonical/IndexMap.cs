using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Canonical;

/// <summary>A way back from a value through nodes that only move or repeat its elements: which element of the source each element is.</summary>
/// <remarks>Whatever chain of Reshape, Transpose, Unsqueeze and Expand an exporter writes, what it does is told by where elements come from.</remarks>
internal sealed class IndexMap
{
    private const int Samples = 4096;
    private readonly List<Func<long, long>> _steps = [];

    public IndexMap(Value start) => (Start, Source) = (start, start);

    public Value Start { get; }

    /// <summary>The value that the path has come to.</summary>
    public Value Source { get; private set; }

    /// <summary>Goes one node further back; false where the next node is no view or its shapes are not known.</summary>
    public bool Step()
    {
        if (Source.Producer is not { Facts.Role: OperatorRole.View view } node
            || node.Inputs[0] is not { Shape: { IsStatic: true } from } input || Source.Shape is not { IsStatic: true } to)
            return false;
        switch (view.Kind)
        {
            case ViewKind.Relabels:
                break;
            case ViewKind.Converts when input.Type == Start.Type
                || (input.Type == ElementType.Float && Start.Type is ElementType.Float16 or ElementType.BFloat16):
                break; // to float32 and back again nothing is lost; the other way round it is
            case ViewKind.Permutes:
                _steps.Add(Moved(from.Sizes, to.Sizes, node.Ints("perm") ?? [.. Enumerable.Range(0, from.Rank).Select(i => (long)(from.Rank - 1 - i))]));
                break;
            case ViewKind.Repeats:
                _steps.Add(Repeated(from.Sizes, to.Sizes));
                break;
            case ViewKind.Cuts when node.Is("Slice") && Offsets(node, from.Sizes) is { } offsets:
                _steps.Add(Cut(from.Sizes, to.Sizes, offsets));
                break;
            case ViewKind.Cuts when node.Is("Split"):
                var axis = (int)(node.Int("axis", 0) + (node.Int("axis", 0) < 0 ? from.Rank : 0));
                var first = new long[from.Rank];
                first[axis] = node.Outputs.Take(Source.ProducerIndex).Sum(o => o.Shape![axis].Size!.Value);
                _steps.Add(Cut(from.Sizes, to.Sizes, first));
                break;
            default:
                return false;
        }
        Source = input;
        return true;
    }

    /// <summary>Goes back to an input of the node in front, of which each element of the source is a function by itself.</summary>
    public bool Pass(Node node, Value? input)
    {
        if (input is null || node != Source.Producer || input.Shape?.Equals(Source.Shape) != true)
            return false;
        Source = input;
        return true;
    }

    /// <summary>Whether element i of the start is element <paramref name="expected"/>(i) of the source; of a large tensor, samples are.</summary>
    public bool Is(Func<long, long> expected)
    {
        if (Source.Type != Start.Type)
            return false;
        var count = Start.Shape!.ElementCount!.Value;
        var strides = Start.Shape.Sizes.Select((_, axis) => Start.Shape.Sizes.Skip(axis + 1).Aggregate(1L, (a, b) => a * b));
        return count <= 16 * Samples ? Agree(Range(count, 1)) : Agree(Range(count, count / Samples | 1)) && strides.All(stride => Agree(Sweep(stride, count)));

        bool Agree(IEnumerable<long> at) => at.All(i => From(i) == expected(i));
    }

    private long From(long index)
    {
        foreach (var step in _steps)
            index = step(index);
        return index;
    }

    private static IEnumerable<long> Range(long count, long step)
    {
        for (var i = 0L; i < count; i += step)
            yield return i;
    }

    private static IEnumerable<long> Sweep(long stride, long count) => Range(count, stride).Take(Samples);

    private static Func<long, long> Moved(long[] from, long[] to, IReadOnlyList<long> perm)
    {
        var strides = Strides(from);
        var moved = perm.Select(p => strides[p]).ToArray();
        return index => Locate(index, to, moved, 0);
    }

    private static Func<long, long> Repeated(long[] from, long[] to)
    {
        var strides = Strides(from);
        var lead = to.Length - from.Length;
        var moved = to.Select((_, axis) => axis < lead || from[axis - lead] == 1 ? 0 : strides[axis - lead]).ToArray();
        return index => Locate(index, to, moved, 0);
    }

    private static Func<long, long> Cut(long[] from, long[] to, long[] first)
    {
        var strides = Strides(from);
        var start = first.Zip(strides, (f, s) => f * s).Sum();
        return index => Locate(index, to, strides, start);
    }

    /// <summary>Where a Slice of step 1 starts along each axis; null for others, and where it is not constant.</summary>
    private static long[]? Offsets(Node slice, long[] sizes)
    {
        if (slice.Input(1)?.Integers() is not { } starts)
            return null;
        var axes = slice.Input(3) is { } named ? named.Integers() : [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)];
        var steps = slice.Input(4) is { } given ? given.Integers() : [];
        if (axes is null || steps is null || steps.Any(s => s != 1))
            return null;
        var offsets = new long[sizes.Length];
        foreach (var (axis, start) in axes.Zip(starts))
        {
            var at = (int)(axis < 0 ? axis + sizes.Length : axis);
            offsets[at] = Math.Clamp(start < 0 ? start + sizes[at] : start, 0, sizes[at]);
        }
        return offsets;
    }

    private static long[] Strides(long[] sizes)
    {
        var strides = new long[sizes.Length];
        var stride = 1L;
        for (var axis = sizes.Length - 1; axis >= 0; stride *= sizes[axis--])
            strides[axis] = stride;
        return strides;
    }

    private static long Locate(long index, long[] sizes, long[] strides, long at)
    {
        for (var axis = sizes.Length - 1; axis >= 0; axis--)
        {
            at += index % sizes[axis] * strides[axis];
            index /= sizes[axis];
        }
        return at;
    }
}
