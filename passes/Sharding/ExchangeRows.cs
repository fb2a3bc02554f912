using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Infra;

namespace Halo.Passes.Sharding;

/// <summary>Lets ranks exchange the rows that their tokens look up in a split table, and the gradients of these, in place of the table and its gradient.</summary>
/// <remarks>
/// Of N ranks with T tokens each, over a table (V, C): all ids (N T) are gathered; each rank looks all of them up in its own rows, and an exchange gives each
/// rank N candidates a token, of which it takes that of the row's owner: the row as it is, bit by bit. What is looked up where it does not lie is not read. An id
/// below 0 is refused as one beyond V is, and not taken from the end. Backwards the gradients (T, C), weighted, are gathered, and each rank sums those of its own
/// rows, in the order of ranks (<see cref="EmbeddingGrad"/>). What else is added to a table's gradient, as of a head that is tied to it, is summed by itself, as
/// soon as it is there. All sizes are fixed. Stands behind <c>sink-gathers</c>, which settles what is gathered. A gradient that is sent in 8 bits, or held whole
/// by every rank, stays as it is.
/// </remarks>
/// <param name="Way">
/// auto takes rows where N T rows are fewer bytes than V and nothing else wants the table, or its gradient, whole: a table that is tied to the head is gathered
/// and summed for that all the same.
/// </param>
public sealed record ExchangeRows(LookupExchange Way = LookupExchange.Auto) : IGraphPass
{
    public string Name => "exchange-rows";

    /// <summary>Of one rank alone; ranks together sum a row's gradients in another order.</summary>
    public ValueEffect Effect => new ValueEffect.Reassociating(1e-5);

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var ids = new SharedIds();
        var rewrites = 0;
        foreach (var gather in graph.Nodes.Where(n => n.Is("Gather") && n.Int("axis", 0) == 0 && Collectives.GatherOf(n.Inputs[0]!) is not null).ToList())
        {
            var (start, wait) = (Collectives.GatherOf(gather.Inputs[0]!)!, gather.Inputs[0]!.Producer!);
            var isSentBesides = wait.Output.Uses.Any(u => !u.Node.Is("Gather"));
            if (!TakesRows(gather, start, gather.Inputs[1]!, start.Output.Shape!, start.Output.Type, isSentBesides, context))
                continue;
            SplitLookup.LookUp(graph, gather, start, ids);
            DeadNodes.Sweep(graph, wait.Outputs);
            rewrites++;
        }
        foreach (var wait in graph.Nodes.Where(IsSumOfRows).ToList())
        {
            var start = wait.Inputs[0]!.Producer!;
            if (GradientTerms.Of(start) is not { Lookups.Count: > 0 } terms
                || !terms.Lookups.All(n => TakesRows(n, start, n.Inputs[1]!, start.Inputs[0]!.Shape!, n.Inputs[0]!.Type, terms.HasOthers, context)))
                continue;
            SplitLookup.Sum(graph, wait, terms, ids);
            rewrites++;
        }
        return new PassResult(rewrites);
    }

    /// <summary>The parts of a rank's graph, forward and backward, in which rows are exchanged.</summary>
    public static IReadOnlyList<string> PartsOf(Graph graph) =>
    [
        .. graph.Nodes.Any(Collectives.IsOfLookup) ? (string[])["forward"] : [],
        .. graph.Nodes.Any(n => n.Is(nameof(EmbeddingGrad), HaloDomain.Name) && n.Attributes.ContainsKey("of")) ? (string[])["backward"] : [],
    ];

    private static bool IsSumOfRows(Node node) => node.Is(nameof(CollectiveWait), HaloDomain.Name)
        && node.Inputs[0]!.Producer is { } start && start.Is(nameof(ReduceScatterStart), HaloDomain.Name);

    /// <summary>Whether rows of the type are exchanged for <paramref name="ids"/>; they cannot where sizes are not known.</summary>
    private bool TakesRows(Node node, Node start, Value ids, Shape table, ElementType type, bool isSentBesides, PassContext context)
    {
        if (ids.Type != ElementType.Int64 || ids.Shape is not { IsStatic: true } || table is not { Rank: 2, IsStatic: true })
        {
            context.Skip(node, "not rows of a table by int64 numbers, of fixed sizes");
            return false;
        }
        var tokens = CollectiveOperator.RanksOf(start) * ids.Shape.ElementCount!.Value;
        var rows = (tokens * type.SizeBytes(table.Sizes[1])) + ElementType.Int64.SizeBytes(tokens);
        var whole = start.Output.Type.SizeBytes(table.ElementCount!.Value);
        var (found, other) = ($"{tokens} rows of {rows} bytes", $"a table of {whole}");
        if (Way == LookupExchange.Table || (Way == LookupExchange.Auto && (isSentBesides || rows >= whole)))
        {
            context.Skip(node, Way == LookupExchange.Table ? "the table is asked for"
                : isSentBesides ? $"{other} is sent for others besides" : $"{found} are no fewer than {other}");
            return false;
        }
        context.Step(node, $"exchange {found} in place of {other}");
        return true;
    }
}
