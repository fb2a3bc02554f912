using Halo.Ir;
using Halo.Memory;
using Halo.Operators;

namespace Halo.Passes.Training.Recomputation;

/// <summary>What takes the place of what it is made of, and is kept in place of being computed again.</summary>
/// <remarks>
/// A product's result that goes through views and rotary embeddings alone, of the same size and without another reader, to whoever reads it: queries, keys and
/// values on their way to attention, whose gradient reads the last of them. Kept is one of them in any case; the last costs nothing to compute again.
/// </remarks>
internal static class LastCopies
{
    public static IReadOnlySet<Value> Of(ForwardStream stream, Recompute pass)
    {
        var last = new HashSet<Value>();
        foreach (var first in stream.Forward.SelectMany(n => n.Outputs).Where(v => stream.Contains(v) && !pass.Repeats(stream, v) && !stream.Borders.Contains(v)))
        {
            var at = first;
            while (Next(stream, at) is { } next && pass.Repeats(stream, next) && Buffers.Bytes(next) == Buffers.Bytes(at))
                at = next;
            if (at != first)
                last.Add(at);
        }
        return last;
    }

    /// <summary>The same elements in another order, or turned, which alone are made of a value.</summary>
    private static Value? Next(ForwardStream stream, Value value) => value is { IsGraphOutput: false, Uses: [{ Node: { } node }] }
        && (node.Facts.Role is OperatorRole.View || node.Facts.Recompute is RecomputeKind.View or RecomputeKind.Rotary)
        && Graph.ReadBy(node).Count(stream.Contains) == 1 && node.Outputs[0] is var output && stream.Contains(output) ? output : null;
}
