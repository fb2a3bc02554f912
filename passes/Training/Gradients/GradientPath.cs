using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training.Gradients;

/// <summary>What lies between trained parameters and the loss: the values that need a gradient, and the nodes it goes through.</summary>
/// <param name="Values">Parameters, and what depends on one and the loss depends on: floats, and the codes that they are rounded to.</param>
/// <param name="Nodes">The nodes that compute them from one another, in the order of the graph.</param>
/// <param name="Leaving">Nodes that make of them what is no float and no code, and what the loss depends on: a gradient would stop there.</param>
/// <param name="Ends">Steps, behind which there is no gradient, whose value the loss is computed from.</param>
/// <param name="Loss">What is differentiated.</param>
internal sealed record GradientPath(IReadOnlySet<Value> Values, IReadOnlyList<Node> Nodes, IReadOnlyList<Node> Leaving, IReadOnlyList<Node> Ends,
    Value Loss)
{
    public static GradientPath Between(IReadOnlyList<Value> parameters, Value loss)
    {
        var ends = new GradientEnds();
        var live = Ancestors(loss, ends.Has);
        var values = parameters.Where(live.Contains).ToHashSet();
        var (nodes, leaving) = (new List<Node>(), new List<Node>());
        foreach (var node in loss.Producer?.Graph!.Nodes ?? [])
        {
            if (!node.Outputs.Any(live.Contains) || !Graph.ReadBy(node).Any(values.Contains) || ends.Has(node))
                continue;
            var outputs = node.Outputs.Where(live.Contains)
                .Where(o => o.Type.IsFloat() ? !node.Is("DynamicQuantizeLinear") : StraightThrough.MakesCodes(node, o, values)).ToList();
            var loses = Graph.ReadBy(node).Any(v => !v.Type.IsFloat() && values.Contains(v)) && !StraightThrough.ReadsCodes(node);
            (outputs.Count > 0 && !loses ? nodes : leaving).Add(node);
            values.UnionWith(outputs);
        }
        return new GradientPath(values, nodes, leaving, [.. GradientEnds.ByValue(parameters, live)], loss);
    }

    /// <summary>Every parameter is on the path, and every node of it has a rule and known shapes.</summary>
    public void Check(string pass, IReadOnlyList<Value> parameters)
    {
        CheckRules(pass, [.. Nodes.Where(n => GradientRules.Find(n) is null), .. Leaving]);
        var all = Ancestors(Loss, _ => false);
        var unread = parameters.Where(p => !all.Contains(p)).Select(p => p.Name).ToList();
        if (unread.Count > 0)
        {
            throw new PassException(pass, $"{unread.Count} parameters", "parameters that the loss depends on", string.Join(", ", unread),
                "Freeze them, or remove them from the graph.");
        }
        var reached = Reached();
        var cut = parameters.Where(p => !reached.Contains(p)).ToList();
        if (cut.Count > 0)
            throw Cut(pass, cut, all);
        foreach (var node in Nodes)
        {
            foreach (var value in node.Inputs.Concat(node.Outputs).OfType<Value>().Where(v => v.Type.IsFloat() || Values.Contains(v)))
            {
                if (value.Shape is not { IsStatic: true })
                    throw new PassException(pass, node, "forward", $"a static shape of '{value.Name}'", $"{value.Shape}", "Run specialize-shapes first.");
            }
        }
    }

    private static void CheckRules(string pass, List<Node> without)
    {
        if (without.Count == 0)
            return;
        var rounds = without.Any(n => n.Is("Round") || n.Is("Cast") || n.Is("CastLike") || n.Is("QuantizeLinear"));
        var advice = rounds ? "Round by QuantizeLinear and DequantizeLinear, which gradients pass straight through, or freeze what lies before."
            : without.Count == 1 ? "Freeze what lies before it, or add a rule." : "Freeze what lies before them, or add rules.";
        if (without.Count == 1)
            throw new PassException(pass, without[0], "forward", "an operator with a gradient rule", Operator(without[0]), advice);
        var kinds = without.GroupBy(Operator).OrderBy(k => k.Key, StringComparer.Ordinal)
            .Select(k => k.Count() == 1 ? $"{k.Key} ('{NameOf(k.First())}')" : $"{k.Key} ({k.Count()} nodes, the first '{NameOf(k.First())}')");
        throw new PassException(pass, $"{without.Count} nodes between parameters and loss", "operators with a gradient rule", string.Join(", ", kinds), advice);
    }

    /// <summary>What is between a value and the loss without a node that ends gradients.</summary>
    private HashSet<Value> Reached()
    {
        var reached = new HashSet<Value> { Loss };
        foreach (var node in Nodes.Reverse().Where(n => n.Outputs.Any(reached.Contains)))
            reached.UnionWith(Graph.ReadBy(node).Where(Values.Contains));
        return reached;
    }

    /// <summary>The loss depends on parameters by steps alone: comparisons, positions of a largest element, signs.</summary>
    private static PassException Cut(string pass, List<Value> parameters, HashSet<Value> all)
    {
        var ends = new GradientEnds();
        var reached = parameters.ToHashSet();
        var stops = new List<Node>();
        foreach (var node in parameters[0].Uses.Select(u => u.Node.Graph).OfType<Graph>().FirstOrDefault()?.Nodes ?? [])
        {
            if (!node.Outputs.Any(all.Contains) || !Graph.ReadBy(node).Any(reached.Contains))
                continue;
            if (ends.Has(node))
                stops.Add(node);
            else
                reached.UnionWith(node.Outputs);
        }
        var names = string.Join(", ", parameters.Take(5).Select(p => $"'{p.Name}'")) + (parameters.Count > 5 ? $" and {parameters.Count - 5} more" : "");
        var at = string.Join(", ", stops.Take(3)) + (stops.Count > 3 ? $" and {stops.Count - 3} more" : "");
        return new PassException(pass, names, "a path to the loss that a gradient goes through", stops.Count == 0 ? "none" : $"paths that end at {at} alone",
            "Freeze what no gradient reaches, or change the node.");
    }

    private static string Operator(Node node) => node.Is("Cast") ? $"Cast from {node.Inputs[0]!.Type.Name()} to {node.Output.Type.Name()}"
        : node.IsStandard ? node.OpType : $"{node.Domain}.{node.OpType}";

    private static string NameOf(Node node) => node.Name.Length > 0 ? node.Name : node.Output.Name;

    /// <summary>Everything that <paramref name="loss"/> is computed from, but for what lies only behind nodes where the way ends.</summary>
    private static HashSet<Value> Ancestors(Value loss, Func<Node, bool> ends)
    {
        var ancestors = new HashSet<Value> { loss };
        var pending = new Stack<Value>(ancestors);
        var seen = new HashSet<Node>();
        while (pending.TryPop(out var value))
        {
            if (value.Producer is not { } node || !seen.Add(node) || ends(node))
                continue;
            foreach (var input in Graph.ReadBy(node).Where(ancestors.Add))
                pending.Push(input);
        }
        return ancestors;
    }
}
