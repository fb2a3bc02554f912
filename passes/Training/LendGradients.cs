using System.Collections;
using System.Globalization;
using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Memory;
using Halo.Operators;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>8-bit codes that lie in the memory of a gradient until that is written.</summary>
/// <param name="Codes">An output of the graph, int8 or uint8.</param>
/// <param name="Gradient">The output whose memory they have.</param>
/// <param name="Offset">Bytes behind its first.</param>
internal sealed record Loan(Value Codes, string Gradient, long Offset);

/// <summary>Keeps the 8-bit codes that a training graph's forward part leaves to its backward part in the memory of gradients that are written later.</summary>
/// <remarks>
/// The caller holds memory for each gradient all the time, and only the backward part writes it: until then it is idle. Codes that lie there become outputs of
/// the graph, which the caller binds to a part of the gradient's memory (<see cref="LoansOf"/>). The node that writes the gradient comes behind all that read
/// the codes in whatever order the graph runs: it is computed from them, or a Barrier makes it wait. Values keep their bits. No session of C# gives 8-bit
/// floats: those leave as the bytes that they are (BitCast), by a copy of a byte an element, before the forward part reads on; int8 is written there at once.
/// Codes that are read last choose first, as the fewest gradients are written behind them, and take the smallest room that holds them.
/// For graphs whose gradients are outputs that somebody holds; behind order-nodes, whose order says which gradients come late.
/// </remarks>
public sealed record LendGradients() : IGraphPass
{
    private const string GradientKey = "halo.lent_by", OffsetKey = "halo.lent_at";

    public string Name => "lend-gradients";

    public ValueEffect Effect => new ValueEffect.Exact();

    /// <summary>The codes that lie in gradients' memory.</summary>
    internal static IEnumerable<Loan> LoansOf(Graph graph) => graph.Outputs.Where(o => o.Metadata.ContainsKey(GradientKey))
        .Select(o => new Loan(o, o.Metadata[GradientKey], long.Parse(o.Metadata[OffsetKey], CultureInfo.InvariantCulture)));

    public void Requires(Model model) => TrainingGraph.Require(model, Name);

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        if (LoansOf(graph).Any())
            return new PassResult(0); // it has run
        var order = new Order(RunOrder.Of(graph));
        var rooms = graph.Outputs.Where(o => TrainingNames.IsGradient(o) && o.Producer is { } writer && Buffers.Bytes(o) is not null && InputToGate(writer) is not null)
            .Select(o => new Room(o, order.PlaceOf(o.Producer!))).ToList();
        var (forward, rewrites) = (Ancestors.Of(graph.Outputs.First(o => o.Name == TrainingNames.Loss)), 0);
        foreach (var (codes, readers) in SavedCodes(graph, forward).OrderByDescending(c => c.Readers.Max(order.PlaceOf)).ToList())
        {
            var (size, last) = (RunMemory.Rounded(Buffers.Bytes(codes)!.Value), readers.Max(order.PlaceOf));
            if (rooms.Where(r => r.Place > last && r.FreeBytes >= size).MinBy(r => r.FreeBytes) is not { } room)
            {
                context.Skip(codes.Producer!, $"no gradient with {size} bytes left is written behind all that read '{codes.Name}'");
                continue;
            }
            context.Step(codes.Producer!, $"keep '{codes.Name}' in '{room.Gradient.Name}'");
            var lent = OutputOf(graph, codes, forward);
            (lent.Metadata[GradientKey], lent.Metadata[OffsetKey]) = (room.Gradient.Name, room.UsedBytes.ToString(CultureInfo.InvariantCulture));
            graph.AddOutput(lent);
            room.UsedBytes += size;
            room.Readers.UnionWith(readers.Where(reader => !order.IsAncestor(reader, room.Gradient.Producer!)));
            rewrites++;
        }
        foreach (var room in rooms.Where(r => r.Readers.Count > 0))
        {
            var (writer, awaited) = (room.Gradient.Producer!, room.Readers.OrderBy(order.PlaceOf).Select(r => r.Outputs.First(MayAwait)).ToList());
            var input = InputToGate(writer)!.Value;
            writer.ReplaceInput(input, GraphBuilder.Before(writer, writer.Name).Barrier(writer.Inputs[input]!, awaited, "lent"));
        }
        graph.SortTopologically();
        return new PassResult(rewrites);
    }

    /// <summary>Codes that the forward part makes and the backward part reads, where a Barrier can wait for all that do.</summary>
    private static IEnumerable<(Value Codes, IReadOnlyList<Node> Readers)> SavedCodes(Graph graph, HashSet<Node> forward) =>
        graph.Nodes.Where(forward.Contains).SelectMany(n => n.Outputs).Where(IsCodes).Select(codes => (codes, Readers: (IReadOnlyList<Node>)[.. ReadersOf(codes)]))
            .Where(c => c.Readers.Any(r => !forward.Contains(r)) && c.Readers.All(r => r.Outputs.Any(MayAwait)) && (IsBytes(c.codes) || GatedBy(c.codes, forward).Any()));

    /// <summary>Of a type that sessions of C# give.</summary>
    private static bool IsBytes(Value codes) => codes.Type is ElementType.Int8 or ElementType.UInt8;

    /// <summary>What the caller binds: the codes, or their bytes, from which the backward part has them.</summary>
    private static Value OutputOf(Graph graph, Value codes, HashSet<Node> forward)
    {
        if (IsBytes(codes))
            return codes;
        var (late, early) = (codes.Uses.Where(u => !forward.Contains(u.Node) || IsView(u)).ToList(), GatedBy(codes, forward).ToList());
        var build = GraphBuilder.AfterDefinition(graph, codes, codes.Name);
        var lent = build.BitCast(codes, ElementType.UInt8, "lent");
        var back = build.BitCast(lent, codes.Type, "back");
        foreach (var use in late)
            use.Node.ReplaceInput(use.Index, back);
        var read = early[0].Node.Inputs[early[0].Index]!;
        var gate = build.Barrier(read, [lent], "kept");
        foreach (var use in early.Where(use => use.Node.Inputs[use.Index] == read))
            use.Node.ReplaceInput(use.Index, gate);
        return lent;
    }

    /// <summary>What the forward part reads of what is computed with codes, and can be kept from it until they are where they are to be.</summary>
    private static IEnumerable<Use> GatedBy(Value codes, HashSet<Node> forward) => codes.Producer!.Outputs.Where(o => o.Type.Bits() == 8 || MayAwait(o))
        .SelectMany(o => o.Uses.Where(u => forward.Contains(u.Node) && !IsView(u)));

    private static bool IsView(Use use) => use is { Index: 0, Node.Facts.Role: OperatorRole.View { KeepsBytes: true } or OperatorRole.Ordering };

    private static bool IsCodes(Value value) => !value.IsGraphOutput && Buffers.Bytes(value) > 0
        && value.Type is ElementType.Int8 or ElementType.UInt8 or ElementType.Float8E4M3FN or ElementType.Float8E5M2 && value.Producer is { Facts.Role: not (OperatorRole.View or OperatorRole.Ordering) };

    /// <summary>The nodes that read a value, itself or as a view.</summary>
    private static IEnumerable<Node> ReadersOf(Value value) => value.Uses.SelectMany(u =>
        IsView(u) ? ReadersOf(u.Node.Outputs[0]) : [u.Node]);

    /// <summary>What a Barrier waits for.</summary>
    private static bool MayAwait(Value value) => value.Type is ElementType.Float or ElementType.Float16 or ElementType.BFloat16 && value.Shape?.ElementCount > 0;

    /// <summary>The place of an input of a node that a Barrier can give; null where there is none.</summary>
    private static int? InputToGate(Node node) => node.Inputs.Index().Where(i => i.Item?.Producer is not null && (MayAwait(i.Item)
        || i.Item.Type is ElementType.Int8 or ElementType.Int32 or ElementType.Int64 or ElementType.Float8E4M3FN or ElementType.Float8E5M2)).Select(i => (int?)i.Index).FirstOrDefault();

    /// <summary>A gradient's memory.</summary>
    private sealed record Room(Value Gradient, int Place)
    {
        public long UsedBytes { get; set; }

        /// <summary>Those that would not come first by themselves.</summary>
        public HashSet<Node> Readers { get; } = [];

        public long FreeBytes => Buffers.Bytes(Gradient)!.Value - UsedBytes;
    }

    /// <summary>The nodes in the order of the run, and which of them another one is computed by; both as they were at first.</summary>
    private sealed class Order
    {
        private readonly Dictionary<Node, int> _places;
        private readonly int[][] _producers; // of what the node at a place reads, their places
        private readonly Dictionary<Node, BitArray> _ancestors = [];

        public Order(IReadOnlyList<Node> nodes)
        {
            _places = nodes.Index().ToDictionary(n => n.Item, n => n.Index);
            _producers = [.. nodes.Select(n => Graph.ReadBy(n).Select(v => v.Producer).OfType<Node>().Where(_places.ContainsKey).Select(PlaceOf).ToArray())];
        }

        public int PlaceOf(Node node) => _places[node];

        public bool IsAncestor(Node ancestor, Node node)
        {
            if (!_ancestors.TryGetValue(node, out var places))
            {
                _ancestors.Add(node, places = new BitArray(_producers.Length));
                places[PlaceOf(node)] = true;
                for (var place = PlaceOf(node); place >= 0; place--) // all of them run before it
                {
                    foreach (var producer in places[place] ? _producers[place] : [])
                        places[producer] = true;
                }
            }
            return places[PlaceOf(ancestor)];
        }
    }
}
