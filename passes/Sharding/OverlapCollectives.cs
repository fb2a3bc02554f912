using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Passes.Infra;
using Halo.Passes.Training;

namespace Halo.Passes.Sharding;

/// <summary>
/// Lets collectives run while nodes compute: what is gathered starts some gathers before it is waited for, and a sum is waited for some sums behind its start.
/// </summary>
/// <remarks>
/// Gathers are taken in the order in which ONNX Runtime runs their waits (<see cref="RunOrder"/>): the wait for number i also waits until number i + ahead has
/// started. So no more than that many lie in memory before they are read, each until its last reader has run. An exchange of rows that a table was looked up
/// for counts as one, whose wait comes first. Largest magnitudes, which codes wait for, start one layer before: they would else stand behind the gathers that
/// have started. What a sum over ranks reads stays until it is over; a small part's sum is waited for behind all starts of its kind, since a large one in
/// front, as that of a tied head, keeps it from running. A sum that could start before others, by its place in the file, and is waited for behind them, as
/// that of a tied head is, starts with them. The gather of gradients of rows that were looked up, which comes last, starts before the last products of
/// weights' gradients, which hide it; what reads it hides the last sums. Starts of gathers hang on parameters alone, and those of sums on none of their
/// kind, so that no circle can arise.
/// </remarks>
/// <param name="Ahead">Gathers that are under way while one is waited for; a layer has seven matrices.</param>
/// <param name="Behind">Sums of a kind that have started when one is waited for; small gradients follow each other faster than they are sent.</param>
/// <param name="Kept">Sums in front of the gradients of looked-up rows that start behind these: a norm's, and four of the first layer's attention.</param>
/// <param name="Small">Bytes up to which what a sum reads is small: a norm's weight, which costs no memory to keep.</param>
public sealed record OverlapCollectives(int Ahead = 6, int Behind = 5, int Kept = 5, long Small = 1 << 20) : IGraphPass
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
        var run = RunOrder.Of(model.Graph);
        var waits = run.Where(n => n.Is(nameof(CollectiveWait), HaloDomain.Name)).ToList();
        if (waits.Any(w => w.Inputs.Skip(1).Any(after => IsStarted(after!))))
            return new PassResult(0); // it has run
        var ofData = waits.Where(w => IsGather(w) && HangsOnData(StartOf(w))).ToList();
        var gathers = waits.Where(w => Collectives.IsOfLookup(StartOf(w)) || (IsGather(w) && !ofData.Contains(w))).ToList();
        var maxima = waits.Where(w => StartOf(w).OpType == nameof(AllReduceStart) && StartOf(w).String("op", "sum") == "max").ToList();
        // A gradient may take several, one after the other: each waits until later ones of its own kind have started.
        var sums = waits.Where(w => !IsGather(w) && !gathers.Contains(w) && StartOf(w).String("op", "sum") == "sum")
            .GroupBy(w => (StartOf(w).OpType, StartOf(w).String("group", Collectives.World))).Select(g => g.ToList()).ToList();
        var places = model.Graph.Nodes.Select((node, place) => (node, place)).ToDictionary(p => p.node, p => p.place);
        var next = waits.ToDictionary(w => w, _ => new List<Value>());
        for (var i = 0; i < gathers.Count; i++)
            next[gathers[i]].AddRange(Pending(gathers.Skip(i == 0 ? 1 : i + Ahead).Take(i == 0 ? Ahead : 1))); // the first also starts what stands between
        for (var i = 0; i < maxima.Count; i++)
            next[maxima[i]].AddRange(Pending(maxima.Skip(i + 1).Take(1)));
        foreach (var kind in sums)
        {
            StartInOrder(kind, run, places, next);
            foreach (var wait in kind.SkipLast(1).Where(w => StartOf(w).OpType == nameof(ReduceScatterStart) && IsSmall(w)))
                next[wait].AddRange(Pending(kind.TakeLast(1)));
            foreach (var gather in ofData)
                StartAmong([.. kind.Where(w => places[StartOf(w)] < places[StartOf(gather)] && waits.IndexOf(w) < waits.IndexOf(gather))], gather, next);
        }
        var rewrites = waits.Count(wait => WaitFor(model.Graph, wait, next[wait], context));
        if (rewrites > 0)
            model.Graph.SortTopologically();
        return new PassResult(rewrites);
    }

    private static IEnumerable<Value> Pending(IEnumerable<Node> waits) => waits.Select(w => w.Inputs[0]!);

    /// <summary>Lets each sum be waited for behind the start of a later one, and of those before it in the file that it computes nothing for.</summary>
    private void StartInOrder(List<Node> sums, IReadOnlyList<Node> run, Dictionary<Node, int> places, Dictionary<Node, List<Value>> next)
    {
        var order = run.Select((node, at) => (node, at)).ToDictionary(r => r.node, r => r.at);
        var ancestors = sums.ToDictionary(w => w, w => Ancestors.Of(w.Inputs[0]!));
        var readers = ancestors.Values.SelectMany(a => a).CountBy(n => n).ToDictionary();
        // When what a sum reads is there, but for what it alone needs.
        var ready = sums.ToDictionary(w => w, w => ancestors[w].Where(n => readers[n] > 1).Select(n => order.GetValueOrDefault(n, -1)).DefaultIfEmpty(-1).Max());
        var started = new HashSet<Node>();
        for (var i = 0; i < sums.Count; i++)
        {
            started.Add(sums[i]);
            var early = sums.Skip(i + 1).Where(later => places[StartOf(later)] < places[StartOf(sums[i])] && ready[later] < order[sums[i]]);
            next[sums[i]].AddRange(Pending(sums.Skip(i + Behind).Take(1).Concat(early).Where(started.Add)));
        }
    }

    /// <summary>Lets a gather start in front of the last of the sums before it, and the last be waited for behind what reads it.</summary>
    private void StartAmong(List<Node> before, Node gather, Dictionary<Node, List<Value>> next)
    {
        if (before.Count < Kept + Behind)
            return;
        next[before[^(Kept + Behind)]].Add(gather.Inputs[0]!);
        foreach (var last in before.TakeLast(Behind))
            next[last].AddRange(gather.Output.Uses.Select(u => u.Node.Outputs[0]));
    }

    private static bool WaitFor(Graph graph, Node old, List<Value> next, PassContext context)
    {
        if (next.Count == 0)
            return false;
        context.Step(old, $"wait when {string.Join(", ", next.Select(n => $"'{n.Name}'"))} is there or has started");
        Value[] after = [.. old.Inputs.Skip(1).Select(v => v!), .. next.Distinct()];
        var heir = GraphBuilder.Before(old, "").CollectiveWait(old.Inputs[0]!, after, old.Output.Name + Replacement.Suffix);
        var name = old.Output.Name;
        if (old.Output.IsGraphOutput)
            graph.ReplaceOutput(old.Output, heir);
        old.Output.ReplaceUsesWith(heir);
        graph.Remove(old);
        if (heir.Name != name)
            graph.Rename(heir, name);
        return true;
    }

    private bool IsSmall(Node wait) =>
        StartOf(wait).Inputs[0] is { Shape.ElementCount: { } count, Type: var type } && type.SizeBytes(count) <= Small;

    private static bool IsGather(Node wait) => StartOf(wait).OpType == nameof(AllGatherStart);

    /// <summary>Whether a start hangs on tokens.</summary>
    private static bool HangsOnData(Node start) =>
        Ancestors.Of(start.Inputs[0]!).Append(start).SelectMany(Graph.ReadBy).Any(v => v.IsGraphInput && !v.Type.IsFloat() && !FrozenBase.IsHeld(v));

    private static Node StartOf(Node wait) => wait.Inputs[0]!.Producer!;

    private static bool IsStarted(Value value) => value.Producer is { } node && HaloOperators.Of(node) is CollectiveOperator;
}
