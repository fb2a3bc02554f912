using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Sharding;

/// <summary>Nodes that each rank runs on its own rows, each once.</summary>
internal sealed class WorkOnRows(Graph graph)
{
    private readonly NodeKeys _keys = new();
    private readonly Dictionary<string, Node> _made = new(StringComparer.Ordinal);
    private readonly Dictionary<Value, Value> _maxima = [];

    /// <summary>Lets a reader of what <paramref name="start"/> gathers work on this rank's rows before.</summary>
    /// <returns>The wait for the gather of its first output; null where nobody reads that.</returns>
    public Node? Move(Node reader, Node start)
    {
        var build = GraphBuilder.Before(start, "");
        var x = start.Inputs[0]!;
        var isQuantize = reader.Is(nameof(Quantize), HaloDomain.Name);
        var own = isQuantize ? Codes(build, x, reader, start)
            : Once(build.Node(reader.Output.Name + "/rows", reader.IsStandard ? reader.OpType : $"{reader.Domain}.{reader.OpType}",
                [x, .. reader.Inputs.Skip(1)], reader.Outputs.Count, reader.Overload, [.. reader.Attributes.Values]));
        Value? whole = null;
        if (reader.Outputs[0].Uses.Count > 0 || (reader.Outputs.Count == 3 && reader.Outputs[2].Uses.Count > 0))
        {
            whole = build.Gather(own.Outputs[0], CollectiveOperator.RowsOf(start), CollectiveOperator.RankOf(start), GroupOf(start), reader.Output.Name + "/whole");
            reader.Outputs[0].ReplaceUsesWith(whole);
        }
        if (isQuantize)
        {
            reader.Outputs[1].ReplaceUsesWith(own.Outputs[1]);
            if (reader.Outputs.Count == 3 && reader.Outputs[2].Uses.Count > 0)
                reader.Outputs[2].ReplaceUsesWith(build.Op(reader.Output.Name + "/turned", "Transpose", [whole], Attribute.Of("perm", [1L, 0L])));
        }
        else if (HaloOperators.GivesAbsoluteMax(reader))
        {
            reader.Outputs[1].ReplaceUsesWith(OfAll(build, own.Outputs[1], start)); // of a rotation: the largest magnitude of all rows
        }
        graph.Remove(reader);
        return whole?.Producer;
    }

    private Node Codes(GraphBuilder build, Value x, Node reader, Node start)
    {
        var absmax = OfAll(build, reader.Input(1) ?? Largest(build, x, reader.Output.Name), start);
        var format = reader.Attributes["format"];
        var node = Once(build.Node(reader.Output.Name + "/rows", $"{HaloDomain.Name}.{nameof(Quantize)}", [x, absmax], 2,
            Quantize.Overload(NumberFormat.Parse(format.String)!, x.Type, given: true), format));
        HaloOperators.EnsureFunction(node);
        return node;
    }

    private Value Largest(GraphBuilder build, Value x, string name)
    {
        var made = build.Node(name + "/absmax", $"{HaloDomain.Name}.{nameof(AbsoluteMax)}", [x], 1, "");
        made.Overload = HaloOperators.OverloadOf(made);
        var node = Once(made);
        HaloOperators.EnsureFunction(node);
        return node.Output;
    }

    private Value OfAll(GraphBuilder build, Value own, Node start)
    {
        if (!_maxima.TryGetValue(own, out var all))
        {
            all = build.Reduce(own, "max", CollectiveOperator.RanksOf(start), CollectiveOperator.RankOf(start), GroupOf(start), own.Name + "/of_all");
            _maxima.Add(own, all);
            _maxima.Add(all, all);
        }
        return all;
    }

    private Node Once(Node node)
    {
        var key = _keys.Of(node);
        if (_made.TryGetValue(key, out var first))
            graph.Remove(node);
        else
            _made.Add(key, first = node);
        return first;
    }

    private static string GroupOf(Node start) => start.String("group", Collectives.World);
}
