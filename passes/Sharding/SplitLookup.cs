using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Infra;

namespace Halo.Passes.Sharding;

/// <summary>Nodes that look up rows of a split table, and that sum the gradients of those rows.</summary>
internal static class SplitLookup
{
    /// <summary>Puts in the place of <paramref name="gather"/>, which reads what <paramref name="start"/> gathers, the exchange of its rows.</summary>
    public static void LookUp(Graph graph, Node gather, Node start, SharedIds ids)
    {
        var place = new TablePlace(start, start.Output.Shape!.Sizes[0]);
        var tokens = gather.Inputs[1]!.Shape!.ElementCount!.Value;
        var build = GraphBuilder.Before(gather);
        var (own, all) = ids.Of(build, gather.Inputs[1]!, place);
        var from = build.Op("from_first", "Sub", [all, build.Constant("first", Tensor.Scalar(place.First))]);
        var local = build.Op("local", "Clip", [from, build.Constant("lowest", Tensor.Scalar(0L)), build.Constant("highest", Tensor.Scalar(place.Count - 1))]);
        var found = build.Op("found", "Gather", [start.Inputs[0], local], Attribute.Of("axis", 0L));
        var candidates = build.Exchange(found, [.. Enumerable.Repeat(tokens, place.Ranks)], place.Rank, place.Group, "candidates");
        var block = build.Op("block", "Mul", [place.OwnerOf(build, own), build.Constant("tokens", Tensor.Scalar(tokens))]);
        var chosen = build.Op("chosen", "Add", [block, build.Constant("places", Tensor.Int64s([.. Enumerable.Range(0, (int)tokens).Select(t => (long)t)]))]);
        Replacement.OfNode(graph, gather, old =>
        {
            var rows = build.Op("rows", "Gather", [candidates, chosen], Attribute.Of("axis", 0L));
            return rows.Shape!.Equals(old.Shape) ? rows : build.Op("as_ids", "Reshape", [rows, build.Constant("shape", Tensor.Int64s([.. old.Shape!.Sizes]))]);
        });
    }

    /// <summary>Puts in the place of a sum over ranks, for which <paramref name="wait"/> waits, that of its dense terms and what lookups add to it.</summary>
    public static void Sum(Graph graph, Node wait, GradientTerms terms, SharedIds ids)
    {
        var start = wait.Inputs[0]!.Producer!;
        var (name, place) = (terms.Sum.Name, new TablePlace(start, start.Inputs[0]!.Shape!.Sizes[0]));
        Value? sum = null;
        if (terms.Dense() is { } dense)
        {
            var build = GraphBuilder.AfterDefinition(graph, dense, name);
            sum = build.ScatterSum(Shard.Weighted(build, dense, terms.Weight), CollectiveOperator.RowsOf(start), place.Rank, place.Group, "dense");
        }
        foreach (var lookup in terms.Lookups)
        {
            var build = GraphBuilder.After(lookup, name);
            var rows = RowsOf(build, lookup, terms, place, ids);
            sum = sum is null ? rows : build.Op("sum_of_rows", "Add", [sum, rows]);
        }
        graph.SortTopologically(); // a dense term may stand behind a lookup
        if (wait.Output.IsGraphOutput)
            graph.ReplaceOutput(wait.Output, sum!);
        wait.Output.ReplaceUsesWith(sum!);
        DeadNodes.Sweep(graph, wait.Outputs);
    }

    /// <summary>The gradients of all ranks' tokens that belong to this rank's rows, summed by row.</summary>
    private static Value RowsOf(GraphBuilder build, Node lookup, GradientTerms terms, TablePlace place, SharedIds ids)
    {
        var dY = lookup.Inputs[0]!;
        var (_, allIds) = ids.Of(build, lookup.Inputs[1]!, place);
        var counts = Enumerable.Repeat(dY.Shape!.Sizes[0], place.Ranks).ToList();
        var all = build.Gather(Shard.Weighted(build, dY, terms.Weight), counts, place.Rank, place.Group, "of_all");
        var type = terms.Sum.Type == dY.Type ? dY.Type : ElementType.Float;
        var rows = build.EmbeddingGradOfPart(all, allIds, place.First, place.Count, place.Rows, type, "of_tokens");
        return type == terms.Sum.Type ? rows : build.Op("rounded", "Cast", [rows], Attribute.Of("to", (long)terms.Sum.Type));
    }
}
