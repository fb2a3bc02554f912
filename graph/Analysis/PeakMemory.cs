using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>The memory that a graph's values take where its nodes run one after the other.</summary>
/// <remarks>
/// A value is there from its node to its last reader. A view takes none and keeps what it is a view of. Inputs, initializers and outputs, which others
/// hold, do not count, nor do values on whose sizes nothing is known. No value is written over another, so that a runtime may need somewhat less.
/// </remarks>
internal static class PeakMemory
{
    /// <summary>The most bytes at once; shapes must be inferred.</summary>
    public static long Of(Graph graph)
    {
        var nodes = graph.Nodes.ToList();
        var last = new Dictionary<Value, int>();
        for (var i = 0; i < nodes.Count; i++)
        {
            foreach (var value in nodes[i].Outputs.Concat(nodes[i].Inputs.OfType<Value>()))
                last[Held(value)] = i;
        }
        long live = 0, peak = 0;
        for (var i = 0; i < nodes.Count; i++)
        {
            live += nodes[i].Outputs.Where(o => Held(o) == o).Sum(Bytes);
            peak = Math.Max(peak, live);
            live -= nodes[i].Outputs.Concat(nodes[i].Inputs.OfType<Value>()).Select(Held).Distinct().Where(v => last[v] == i).Sum(Bytes);
        }
        return peak;
    }

    private static Value Held(Value value)
    {
        while (value.Producer is { } node && node.Inputs is [{ } viewed, ..]
            && node.Facts.Role is OperatorRole.View { KeepsBytes: true } or OperatorRole.Ordering)
            value = viewed;
        return value;
    }

    private static long Bytes(Value value) => value.Producer is null || value.IsGraphOutput || value.Shape?.ElementCount is not { } count ? 0
        : ((count * value.Type.Bits()) + 7) / 8;
}
