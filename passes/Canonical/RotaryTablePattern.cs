using System.Runtime.InteropServices;
using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>Tables of cosines and sines (P, D/2) float32, and where the row is not the token's place in the sequence, the positions (B, T).</summary>
internal sealed record RotaryTablePattern(Value Cos, Value Sin, Value? Positions)
{
    /// <summary>Computes the tables that two values hold, and makes sure that they are tables.</summary>
    /// <param name="graph">The tables become initializers of this graph; equal values share them.</param>
    /// <param name="build">Where the positions are made.</param>
    /// <param name="cos">(.., T, width), one for all rows of the batch or one for each.</param>
    /// <param name="sin">As <paramref name="cos"/>.</param>
    /// <param name="x">Sizes of what is rotated: B, T, D.</param>
    /// <param name="halves">Each row holds D/2 numbers; else D, the second half repeating the first.</param>
    /// <returns>The tables, or why there are none.</returns>
    public static (RotaryTablePattern? Tables, string Reason) Of(
        CanonicalGraph graph, GraphBuilder build, Value cos, Value sin, (long B, long T, long D) x, bool halves)
    {
        if (graph.Tables.TryGetValue((cos, sin), out var known))
            return (known, "");
        if ((SubgraphEvaluator.WhyNot(cos) ?? SubgraphEvaluator.WhyNot(sin)) is { } reason)
            return (null, $"the angles cannot be computed beforehand: {reason}");
        var inputs = graph.SubgraphEvaluator.Leaves(cos).Union(graph.SubgraphEvaluator.Leaves(sin)).ToList();
        Value? positions = null;
        if (inputs.Count > 0)
        {
            var cuts = graph.SubgraphEvaluator.IntegerCuts(cos).Union(graph.SubgraphEvaluator.IntegerCuts(sin)).ToList();
            if (cuts.Count != 1 || cuts[0].Shape is not { IsStatic: true, Rank: > 0 } shape || shape[-1].Size != x.T || shape.ElementCount is not { } count
                || (count != x.T && count != x.B * x.T))
                return (null, $"the angles depend on {string.Join(", ", inputs.Select(i => $"'{i.Name}'"))} by more than positions (B, T)");
            positions = cuts[0];
        }
        var tables = new List<Tensor>();
        foreach (var value in new[] { cos, sin })
        {
            var (rows, why) = Rows(graph.SubgraphEvaluator, value, positions, x, halves);
            if (rows is null)
                return (null, why);
            tables.Add(Tensor.Floats([x.T, x.D / 2], rows));
        }
        var found = new RotaryTablePattern(build.Constant("cos", tables[0]), build.Constant("sin", tables[1]),
            positions is null ? null : Spread(build, positions, x));
        graph.Tables.Add((cos, sin), found);
        return (found, "");
    }

    private static (float[]? Rows, string Reason) Rows(SubgraphEvaluator subgraph, Value value, Value? positions, (long B, long T, long D) x, bool halves)
    {
        var table = Evaluate(subgraph, value, positions, i => i % x.T);
        var width = halves ? x.D / 2 : x.D;
        if (table is null || table.Length % (x.T * width) != 0 || table.Length / (x.T * width) is not 1 and var copies && copies != x.B)
            return (null, $"'{value.Name}' {value.Shape} has no row of {width} for each of {x.T} tokens");
        var rows = new float[x.T * (x.D / 2)];
        for (var i = 0L; i < table.Length; i++)
        {
            var (t, d) = (i / width % x.T, i % width % (x.D / 2));
            ref var element = ref rows[(t * (x.D / 2)) + d];
            if (i < x.T * width && i % width < x.D / 2)
                element = table[i];
            else if (element != table[i])
                return (null, $"'{value.Name}' {(i < x.T * width ? "does not repeat its first half" : "differs between rows of the batch")}");
        }
        if (positions is null)
            return (rows, "");
        // Other positions, other in each row of the batch: the row must be that of the position, whatever the place.
        Func<long, long> shuffled = i => ((i * 7) + (i / x.T * 3) + 1) % x.T;
        var moved = Evaluate(subgraph, value, positions, shuffled)!;
        for (var i = 0L; i < moved.Length; i++)
        {
            if (moved[i] != rows[(shuffled(i / width) * (x.D / 2)) + (i % width % (x.D / 2))])
                return (null, $"'{value.Name}' is no function of the position alone");
        }
        return (rows, "");
    }

    private static float[]? Evaluate(SubgraphEvaluator subgraph, Value value, Value? positions, Func<long, long> positionAt)
    {
        var given = new Dictionary<Value, Tensor>();
        if (positions is not null)
        {
            var places = Enumerable.Range(0, (int)positions.Shape!.ElementCount!.Value).Select(i => positionAt(i));
            given[positions] = positions.Type == ElementType.Int64
                ? Tensor.Of<long>(ElementType.Int64, positions.Shape.Sizes, [.. places])
                : Tensor.Of<int>(ElementType.Int32, positions.Shape.Sizes, [.. places.Select(p => (int)p)]);
        }
        var found = subgraph.Evaluate(value, given);
        return found.Type == ElementType.Float ? MemoryMarshal.Cast<byte, float>(found.ToBytes()).ToArray() : null;
    }

    /// <summary>Positions (B, T) int64.</summary>
    private static Value Spread(GraphBuilder build, Value positions, (long B, long T, long D) x)
    {
        var rows = positions.Shape!.ElementCount!.Value / x.T;
        var wide = positions.Type == ElementType.Int64 ? positions
            : build.Op("positions.wide", "Cast", [positions], Attribute.Of("to", (long)ElementType.Int64));
        var flat = wide.Shape!.Equals(Shape.Of(rows, x.T)) ? wide
            : build.Op("positions", "Reshape", [wide, build.Constant("positions/shape", Tensor.Int64s(rows, x.T))]);
        return rows == x.B ? flat : build.Op("positions.rows", "Expand", [flat, build.Constant("positions/rows", Tensor.Int64s(x.B, x.T))]);
    }
}
