using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Training.Recomputation;

/// <summary>The activations of a training graph, and the layers that they go through.</summary>
/// <remarks>
/// The stream is what the loss is computed from and what hangs on a parameter and on an input that is none. Where a single value of it is still to be
/// read, all that follows hangs on that value: the graph can be cut there, as it can at the residual stream between the blocks of a transformer.
/// A layer begins where an attention is to come, and reaches to the next one; the last ends behind its last linear product before the head.
/// </remarks>
internal sealed class ForwardStream
{
    private readonly Dictionary<Value, int> _layers = [];
    private readonly HashSet<Value> _weightLike = [];
    private readonly HashSet<Value> _stream = [];
    private readonly HashSet<Value> _feedForward = [];

    private ForwardStream() { }

    /// <summary>The nodes that the loss is computed by.</summary>
    public required IReadOnlySet<Node> Forward { get; init; }

    /// <summary>What each layer reads, and what the last one gives.</summary>
    public IReadOnlyList<Value> Borders { get; private set; } = [];

    /// <summary>The residual stream: what each layer reads, what it is behind the layer's attention, and what the last one gives, in the order of the graph.</summary>
    public IReadOnlyList<Value> Residuals { get; private set; } = [];

    public int LayerCount => Math.Max(0, Borders.Count - 1);

    public bool Contains(Value value) => _stream.Contains(value);

    /// <summary>The layer a value of the stream is computed in; what a layer reads counts to it. Before the first -1, behind the last their number.</summary>
    public int LayerOf(Value value) => _layers[value];

    /// <summary>Whether a value is computed behind the attention of its layer and what it is added to.</summary>
    public bool IsFeedForward(Value value) => _feedForward.Contains(value);

    /// <summary>Whether the loss is computed by a node that gives the value from parameters alone.</summary>
    public bool IsOfWeights(Value value) => value.Producer is { } node && Forward.Contains(node) && _weightLike.Contains(value);

    public static ForwardStream Of(Graph graph, Value loss)
    {
        var stream = new ForwardStream { Forward = Ancestors.Of(loss) };
        var nodes = graph.Nodes.Where(stream.Forward.Contains).ToList();
        stream.Follow(graph, nodes);
        var cuts = stream.Cuts(nodes);
        var heads = LinearGemms.In(graph).Layers.Where(l => l.IsHead).SelectMany(l => l.Of(GemmRole.F)).Select(g => g.Node).ToHashSet();
        var starts = new List<(Value Value, int Position)>();
        var attended = new List<(Value Value, int Position)>(); // the end of each layer's attention
        (Value Value, int Position)? end = null;
        for (var c = 0; c < cuts.Count - 1; c++)
        {
            var block = nodes.Skip(cuts[c].Position + 1).Take(cuts[c + 1].Position - cuts[c].Position).ToList();
            var attends = block.Exists(stream.IsAttention);
            if (attends)
            {
                starts.Add(cuts[c]);
                attended.Add(cuts[c + 1]);
            }
            if (attends || (starts.Count > 0 && block.Exists(n => stream.IsLinear(n) && !heads.Contains(n))))
                end = cuts[c + 1];
        }
        if (end is not null)
        {
            stream.Borders = [.. starts.Append(end.Value).Select(b => b.Value)];
            stream.Residuals = [.. starts.Concat(attended).Append(end.Value).OrderBy(cut => cut.Position).Select(cut => cut.Value).Distinct()];
        }
        int[] borders = [.. starts.Select(s => s.Position), .. end is null ? Array.Empty<int>() : [end.Value.Position]];
        for (var i = 0; i < nodes.Count; i++)
        {
            foreach (var output in nodes[i].Outputs.Where(stream._stream.Contains))
            {
                var layer = stream._layers[output] = borders.Count(b => b <= i) - 1;
                if (layer >= 0 && layer < attended.Count && i > attended[layer].Position)
                    stream._feedForward.Add(output);
            }
        }
        return stream;
    }

    private void Follow(Graph graph, List<Node> nodes)
    {
        static bool IsParameter(Value input) => input.Type.IsFloat() || FrozenBase.IsHeld(input);
        var (ofParameters, ofData) = (graph.Inputs.Where(IsParameter).ToHashSet(), graph.Inputs.Where(i => !IsParameter(i)).ToHashSet());
        _weightLike.UnionWith(ofParameters);
        foreach (var node in nodes)
        {
            var (p, d) = (Graph.ReadBy(node).Any(ofParameters.Contains), Graph.ReadBy(node).Any(ofData.Contains));
            foreach (var output in node.Outputs)
            {
                if (p)
                    ofParameters.Add(output);
                if (d)
                    ofData.Add(output);
                if (p && d)
                    _stream.Add(output);
                else if (p)
                    _weightLike.Add(output);
            }
        }
    }

    /// <summary>The values on which alone all that follows hangs, with the positions of their nodes.</summary>
    private List<(Value Value, int Position)> Cuts(List<Node> nodes)
    {
        var left = nodes.SelectMany(Graph.ReadBy).Where(_stream.Contains).GroupBy(v => v).ToDictionary(g => g.Key, g => g.Count());
        var open = new HashSet<Value>();
        var cuts = new List<(Value, int)>();
        for (var i = 0; i < nodes.Count; i++)
        {
            foreach (var input in Graph.ReadBy(nodes[i]).Where(_stream.Contains))
            {
                if (--left[input] == 0)
                    open.Remove(input);
            }
            var made = nodes[i].Outputs.Where(o => left.GetValueOrDefault(o) > 0).ToList();
            open.UnionWith(made);
            if (made.Count > 0 && open.Count == 1)
                cuts.Add((open.Single(), i));
        }
        return cuts;
    }

    /// <summary>An attention, or a product of two activations.</summary>
    private bool IsAttention(Node node) =>
        node.OpType == "Attention" || (IsProduct(node) && _stream.Contains(node.Inputs[0]!) && _stream.Contains(Right(node)));

    private bool IsLinear(Node node) => IsProduct(node) && (_weightLike.Contains(node.Inputs[0]!) || _weightLike.Contains(Right(node)));

    private static bool IsProduct(Node node) => node.Facts.Role is OperatorRole.Product;

    private static Value Right(Node node) => node.Inputs[((OperatorRole.Product)node.Facts.Role).B]!;
}
