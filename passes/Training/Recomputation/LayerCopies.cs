using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;

namespace Halo.Passes.Training.Recomputation;

/// <summary>The forward nodes of one layer that are repeated for its backward part.</summary>
internal sealed class LayerCopies(Model model, ForwardStream stream, Recompute pass, IReadOnlySet<Value> kept, int layer)
{
    private readonly Dictionary<Value, Value> _copies = [];
    private IReadOnlyList<Value> _gates = [];
    private Node _first = null!;

    /// <summary>How many nodes were repeated.</summary>
    public int Count { get; private set; }

    public bool IsRepeated(Value? value) => value is not null && !kept.Contains(value) && pass.Repeats(stream, value);

    /// <summary>Lets the layer's backward nodes read the incoming gradients only after <paramref name="finished"/> are there; copies wait for both.</summary>
    public void WaitFor(IReadOnlyList<Value> incoming, IReadOnlyList<Value> finished, IReadOnlyList<Node> nodes)
    {
        _first = nodes[0];
        if (finished.Count == 0)
        {
            _gates = incoming;
            return;
        }
        var gates = new List<Value>();
        foreach (var gradient in incoming)
        {
            var gate = Build(gradient).Barrier(gradient, finished, "");
            foreach (var use in gradient.Uses.Where(u => nodes.Contains(u.Node)).ToList())
                use.Node.ReplaceInput(use.Index, gate);
            gates.Add(gate);
        }
        _gates = gates;
    }

    /// <summary>Lets a backward node read copies in place of the values that are repeated.</summary>
    public void Serve(Node node)
    {
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (IsRepeated(node.Inputs[i]))
                node.ReplaceInput(i, Copy(node.Inputs[i]!));
        }
    }

    /// <summary>A value computed again; what is kept of the stream, behind the gates; anything else as it is.</summary>
    private Value Copy(Value value)
    {
        if (!stream.Contains(value) && !IsRepeated(value))
            return value;
        if (_copies.TryGetValue(value, out var copy))
            return copy;
        if (!IsRepeated(value))
            return _copies[value] = Build(value).Barrier(value, _gates, "");
        var node = value.Producer!;
        var inputs = node.Inputs.Select(v => v is null ? null : Copy(v)).ToList();
        var outputs = node.Outputs.Select(o => new Value(model.Graph.FreeName($"{o.Name}/again"), o.Type, o.Shape)).ToList();
        var made = new Node(node.OpType, inputs, outputs, node.Domain, node.Name.Length > 0 ? outputs[0].Name : "") { Overload = node.Overload };
        made.With([.. node.Attributes.Values]);
        foreach (var (key, text) in node.Metadata)
            made.Metadata[key] = text;
        model.Graph.InsertBefore(_first, made);
        Count++;
        foreach (var (old, output) in node.Outputs.Zip(outputs))
            _copies[old] = output;
        return _copies[value];
    }

    private GraphBuilder Build(Value value) => GraphBuilder.Before(_first, $"{value.Name}/layer{layer}");
}
