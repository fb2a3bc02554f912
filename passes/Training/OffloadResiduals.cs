using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Infra;
using Halo.Passes.Training.Recomputation;

namespace Halo.Passes.Training;

/// <summary>Keeps the residual stream of a training graph in memory of the host between the forward and the backward part.</summary>
/// <remarks>
/// What each layer reads, and what it is behind the layer's attention, is copied to an input of the graph (<see cref="Prefix"/> and its name), which the caller
/// holds, if the backward part reads it. A copy starts before anything else reads the value, and is waited for when the next such value is there; the way
/// back starts when the value behind it begins to be read by the backward part, and is waited for by its own first reader. So the bus is busy while layers
/// compute, and two of these values are on the device at a time. The last layer keeps what it reads: its backward part comes at once.
/// Runs last: order-nodes would place what is placed here, and recompute what it is to offload. Values keep their bits.
/// </remarks>
public sealed record OffloadResiduals() : IGraphPass
{
    /// <summary>Of the inputs that a graph takes as room, in front of the names of the values that go there.</summary>
    public const string Prefix = "offloaded.";

    public string Name => "offload-residuals";

    public ValueEffect Effect => new ValueEffect.Exact();

    /// <summary>The inputs that are room for what is offloaded.</summary>
    public static IEnumerable<Value> RoomOf(Graph graph) => graph.Inputs.Where(i => i.Name.StartsWith(Prefix, StringComparison.Ordinal));

    public void Requires(Model model) => TrainingGraph.Require(model, Name);

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (RoomOf(graph).Any())
            return new PassResult(0); // it has run
        var stream = ForwardStream.Of(graph, graph.Outputs.First(o => o.Name == TrainingNames.Loss));
        if (stream.LayerCount == 0)
        {
            throw new PassException(Name, $"graph '{graph.Name}'", "layers with an attention each, joined by one residual stream", "none",
                "Leave offload_residuals out, or export a transformer.");
        }
        var last = stream.Residuals.ToList().IndexOf(stream.Borders[^2]);
        var (started, fetched, rewrites) = (default(Copy), default(Value), 0);
        foreach (var (place, value) in stream.Residuals.Take(last + 1).Index())
        {
            var build = GraphBuilder.AfterDefinition(graph, value, value.Name);
            var (early, late) = (value.Uses.Where(u => stream.Forward.Contains(u.Node)).ToList(), LateUses(value, stream.Forward));
            var awaited = new List<Value>();
            if (started is { } before)
            {
                // Both the value that left and the one that is there by then are waited for, so that the wait comes no earlier.
                var ofCopy = GraphBuilder.AfterDefinition(graph, value, before.Value.Name);
                var left = ofCopy.CopyWait(before.Pending, [before.Value, value], "left");
                var fetch = ofCopy.FetchStart(left, "fetch");
                var back = ofCopy.CopyWait(fetch, fetched is null ? [] : [fetched], "back");
                Serve(graph, before.Value, back, stream.Forward, before.LateUses);
                (started, fetched) = (null, fetch);
                awaited.Add(left);
            }
            if (place < last && late.Count > 0 && value.Type.IsFloat())
            {
                context.Step(value.Producer!, $"offload '{value.Name}'");
                var room = graph.AddInput(new Value(graph.FreeName(Prefix + value.Name), value.Type, value.Shape));
                started = new Copy(value, build.OffloadStart(room, value, "offload"), late);
                awaited.Add(started.Pending);
                rewrites++;
            }
            else if (late.Count > 0 && fetched is not null)
            {
                Serve(graph, value, build.Barrier(value, [fetched], "kept"), stream.Forward, late);
                fetched = null;
            }
            if (awaited.Count == 0)
                continue;
            var gate = build.Barrier(value, awaited, "offloading");
            foreach (var use in early)
                use.Node.ReplaceInput(use.Index, gate);
        }
        if (rewrites > 0)
            graph.SortTopologically();
        return new PassResult(rewrites);
    }

    /// <summary>A value that is on its way to the host.</summary>
    private sealed record Copy(Value Value, Value Pending, IReadOnlyList<Use> LateUses);

    /// <summary>Uses by the backward part, and by views of the forward part that it reads.</summary>
    private static List<Use> LateUses(Value value, IReadOnlySet<Node> forward) =>
        [.. value.Uses.Where(u => !forward.Contains(u.Node) || (IsView(u) && LateUses(u.Node.Output, forward).Count > 0))];

    private static bool IsView(Use use) => use is { Index: 0, Node.Facts.Role: OperatorRole.View { KeepsBytes: true } or OperatorRole.Ordering };

    /// <summary>Lets late uses of a value read what it is on the device by then; views of the forward part are made again.</summary>
    private static void Serve(Graph graph, Value value, Value back, IReadOnlySet<Node> forward, IReadOnlyList<Use> uses)
    {
        foreach (var use in uses)
        {
            if (!forward.Contains(use.Node))
            {
                use.Node.ReplaceInput(use.Index, back);
                continue;
            }
            var view = use.Node;
            var again = new Value(graph.FreeName($"{view.Output.Name}/back"), view.Output.Type, view.Output.Shape);
            var made = new Node(view.OpType, [back, .. view.Inputs.Skip(1)], [again], view.Domain, view.Name.Length > 0 ? again.Name : "") { Overload = view.Overload };
            made.With([.. view.Attributes.Values]);
            graph.InsertAfter(view, made);
            Serve(graph, view.Output, again, forward, LateUses(view.Output, forward));
        }
    }
}
