using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;

namespace Halo.Passes.Sharding;

/// <summary>
/// Lets collectives run while nodes compute: what is gathered starts some gathers before it is waited for, and a sum is waited for some sums behind its start.
/// </summary>
/// <remarks>
/// Gathers are taken in the order in which ONNX Runtime runs their waits (<see cref="RunOrder"/>): the wait for number i also waits until number i + ahead has
/// started. So no more than that many lie in memory before they are read, each until its last reader has run. Largest magnitudes, which codes wait for, start
/// one layer before: they would else stand behind the gathers that have started. What a sum over ranks reads stays until it is over. Starts of gathers hang on
/// parameters alone, and those of sums on none of their kind, so that no circle can arise.
/// </remarks>
/// <param name="Ahead">Gathers that are under way while one is waited for; a layer has seven matrices.</param>
/// <param name="Behind">Sums of a kind that have started when one is waited for; small gradients follow each other faster than they are sent.</param>
public sealed record OverlapCollectives(int Ahead = 4, int Behind = 3) : IGraphPass
{
    public string Name => "overlap-collectives";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (Ahead < 1)
            throw new PassException(Name, "ahead", "1 or more", $"{Ahead}", "Leave the pass out for none.");
        if (Behind < 1)
            throw new PassException(Name, "behind", "1 or more", $"{Behind}", "Leave the pass out for none.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var waits = RunOrder.Of(model.Graph).Where(n => n.Is(nameof(CollectiveWait), HaloDomain.Name)).ToList();
        var gathers = waits.Where(w => StartOf(w).OpType == nameof(AllGatherStart)).ToList();
        var maxima = waits.Where(w => StartOf(w).OpType == nameof(AllReduceStart) && StartOf(w).String("op", "sum") == "max").ToList();
        // A gradient may take several, one after the other: each waits until later ones of its own kind have started.
        var sums = waits.Where(w => StartOf(w).OpType != nameof(AllGatherStart) && StartOf(w).String("op", "sum") == "sum")
            .GroupBy(w => (StartOf(w).OpType, StartOf(w).String("group", Collectives.World))).Select(g => g.ToList()).ToList();
        if (gathers.Concat(maxima).Concat(sums.SelectMany(s => s)).Any(w => w.Inputs.Skip(1).Any(after => IsStarted(after!))))
            return new PassResult(0); // it has run
        var rewrites = 0;
        for (var i = 0; i < gathers.Count; i++)
        {
            // The first also starts what stands between.
            var next = gathers.Skip(i == 0 ? 1 : i + Ahead).Take(i == 0 ? Ahead : 1).ToList();
            rewrites += WaitFor(model.Graph, gathers, i, next, context);
        }
        foreach (var (kind, distance) in sums.Select(s => (s, Behind)).Append((maxima, 1)))
        {
            for (var i = 0; i < kind.Count; i++)
                rewrites += WaitFor(model.Graph, kind, i, [.. kind.Skip(i + distance).Take(1)], context);
        }
        if (rewrites > 0)
            model.Graph.SortTopologically();
        return new PassResult(rewrites);
    }

    private static int WaitFor(Graph graph, List<Node> waits, int index, List<Node> next, PassContext context)
    {
        if (next.Count == 0)
            return 0;
        var old = waits[index];
        context.Step(old, $"wait when {string.Join(", ", next.Select(n => $"'{StartOf(n).Name}'"))} has started");
        Value[] after = [.. old.Inputs.Skip(1).Select(v => v!), .. next.Select(n => n.Inputs[0]!)];
        var heir = GraphBuilder.Before(old, "").CollectiveWait(old.Inputs[0]!, after, old.Output.Name + Replacement.Suffix);
        waits[index] = heir.Producer!;
        var name = old.Output.Name;
        if (old.Output.IsGraphOutput)
            graph.ReplaceOutput(old.Output, heir);
        old.Output.ReplaceUsesWith(heir);
        graph.Remove(old);
        if (heir.Name != name)
            graph.Rename(heir, name);
        return 1;
    }

    private static Node StartOf(Node wait) => wait.Inputs[0]!.Producer!;

    private static bool IsStarted(Value value) => value.Producer is { } node && HaloOperators.Of(node) is CollectiveOperator;
}
