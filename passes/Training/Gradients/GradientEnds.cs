using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Training.Gradients;

/// <summary>Nodes where gradients end and zero is right: steps, whose slope is zero, and what was cut off by hand.</summary>
/// <remarks>
/// The exporters of PyTorch drop <c>detach()</c>. Of x + (q(x) - x).detach(), which is how layers that round are trained, x + (q(x) - x) is left, whose
/// gradient is zero. Where q rounds, or takes other steps, that can mean nothing else, and the difference ends gradients as its author wrote it.
/// </remarks>
internal sealed class GradientEnds
{
    private const string DetachedKey = "halo.detached";

    private readonly Dictionary<Node, bool> _known = [];

    /// <summary>A value as it is, through which no gradient goes. Folding takes the node away, so the gradient is built before.</summary>
    public static Value Detached(GraphBuilder build, Value value, string name)
    {
        var detached = build.Op(name, "Identity", [value]);
        detached.Producer!.Metadata[DetachedKey] = "true";
        return detached;
    }

    public bool Has(Node node)
    {
        if (!_known.TryGetValue(node, out var ends))
            _known.Add(node, ends = node.Metadata.ContainsKey(DetachedKey) || IsStep(node) || IsDetached(node));
        return ends;
    }

    /// <summary>What the operator gives does not change with small changes of what it reads: comparisons, positions, signs, shapes.</summary>
    private static bool IsStep(Node node) => node.Facts.EndsGradient || (node.Is("Cast") && node.Output.Type == ElementType.Bool)
        || (node.Is("TopK") && node.Outputs[0] is { Uses.Count: 0, IsGraphOutput: false });

    /// <summary>
    /// Steps between parameters and loss whose value the loss is computed from: Floor, Sign, a comparison or a position that is made a float again. What only
    /// chooses (the condition of Where, an index) and sizes are not among them.
    /// </summary>
    public static IEnumerable<Node> ByValue(IReadOnlyList<Value> parameters, IReadOnlySet<Value> live)
    {
        var moved = parameters.ToHashSet();
        foreach (var node in parameters.SelectMany(p => p.Uses).Select(u => u.Node.Graph).OfType<Graph>().FirstOrDefault()?.Nodes ?? [])
        {
            if (!Graph.ReadBy(node).Any(moved.Contains))
                continue;
            moved.UnionWith(node.Outputs);
            if (IsStep(node) && !node.Is("Shape") && !node.Is("Size") && !node.Facts.IsRandom && !node.Is("EyeLike") && node.Outputs.Any(o => IsRead(o, live)))
                yield return node;
        }
    }

    private static bool IsRead(Value value, IReadOnlySet<Value> live) => live.Contains(value)
        && (value.Type.IsFloat() || value.Uses.Any(u => u.Node.Outputs.Any(o => o.Type.IsFloat() ? u.Node.Is("Cast") && live.Contains(o) : IsRead(o, live))));

    /// <summary>q - x of x + (q - x), or x - q of x - (x - q).</summary>
    private static bool IsDetached(Node node)
    {
        if (!node.Is("Sub") || node.Output.OnlyUser is not { } outer)
            return false;
        var (x, q) = outer.Is("Add") ? (node.Input(1), node.Input(0))
            : outer.Is("Sub") && outer.Input(1) == node.Output ? (node.Input(0), node.Input(1)) : (null, null);
        return x is not null && q is not null && outer.Inputs.Contains(x) && RoundsBetween(x, q);
    }

    private static bool RoundsBetween(Value x, Value q)
    {
        var (seen, pending, rounds, meets) = (new HashSet<Value> { q }, new Stack<Value>([q]), false, false);
        while (pending.TryPop(out var value))
        {
            if (value == x)
            {
                meets = true;
                continue;
            }
            if (value.Producer is not { } node)
                continue;
            rounds |= node.Is("Round") || node.Is("QuantizeLinear") || (node.Facts.EndsGradient && !node.Is("Shape") && !node.Is("Size"))
                || (node.Is("Cast") && node.Input(0)?.Type.IsFloat() == true && !node.Output.Type.IsFloat());
            foreach (var input in Graph.ReadBy(node).Where(seen.Add))
                pending.Push(input);
        }
        return rounds && meets;
    }
}
