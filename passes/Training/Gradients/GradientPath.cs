using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training.Gradients;

/// <summary>What lies between trained parameters and the loss: the values that need a gradient, and the nodes it goes through.</summary>
/// <param name="Values">Parameters and float values that depend on one and that the loss depends on.</param>
/// <param name="Nodes">The nodes that compute them from one another, in the order of the graph.</param>
internal sealed record GradientPath(IReadOnlySet<Value> Values, IReadOnlyList<Node> Nodes)
{
    public static GradientPath Between(IReadOnlyList<Value> parameters, Value loss)
    {
        var live = SubgraphEvaluator(loss);
        var values = parameters.Where(live.Contains).ToHashSet();
        var nodes = new List<Node>();
        foreach (var node in loss.Producer?.Graph!.Nodes ?? [])
        {
            var outputs = node.Outputs.Where(o => o.Type.IsFloat() && live.Contains(o)).ToList();
            if (outputs.Count == 0 || GradientRules.IsEnd(node) || !Graph.ReadBy(node).Any(values.Contains))
                continue;
            nodes.Add(node);
            values.UnionWith(outputs);
        }
        return new GradientPath(values, nodes);
    }

    /// <summary>Every parameter is on the path, and every node of it has a rule and known shapes.</summary>
    public void Check(string pass, IReadOnlyList<Value> parameters)
    {
        var without = Nodes.Where(n => GradientRules.Find(n) is null).ToList();
        if (without.Count == 1)
        {
            throw new PassException(pass, without[0], "forward", "an operator with a gradient rule", Operator(without[0]),
                "Freeze what lies before it, or add a rule.");
        }
        if (without.Count > 1)
        {
            var kinds = without.GroupBy(Operator).OrderBy(k => k.Key, StringComparer.Ordinal)
                .Select(k => k.Count() == 1 ? $"{k.Key} ('{NameOf(k.First())}')" : $"{k.Key} ({k.Count()} nodes, the first '{NameOf(k.First())}')");
            throw new PassException(pass, $"{without.Count} nodes between parameters and loss", "operators with a gradient rule", string.Join(", ", kinds),
                "Freeze what lies before them, or add rules.");
        }
        var unread = parameters.Where(p => !Values.Contains(p)).Select(p => p.Name).ToList();
        if (unread.Count > 0)
        {
            throw new PassException(pass, $"{unread.Count} parameters", "parameters that the loss depends on", string.Join(", ", unread),
                "Freeze them, or remove them from the graph.");
        }
        foreach (var node in Nodes)
        {
            foreach (var value in node.Inputs.Concat(node.Outputs).OfType<Value>().Where(v => v.Type.IsFloat()))
            {
                if (value.Shape is not { IsStatic: true })
                    throw new PassException(pass, node, "forward", $"a static shape of '{value.Name}'", $"{value.Shape}", "Run specialize-shapes first.");
            }
        }
    }

    private static string Operator(Node node) => node.Domain.Length == 0 ? node.OpType : $"{node.Domain}.{node.OpType}";

    private static string NameOf(Node node) => node.Name.Length > 0 ? node.Name : node.Output.Name;

    /// <summary>Everything that <paramref name="loss"/> is computed from.</summary>
    private static HashSet<Value> SubgraphEvaluator(Value loss)
    {
        var ancestors = new HashSet<Value> { loss };
        var pending = new Stack<Value>(ancestors);
        var seen = new HashSet<Node>();
        while (pending.TryPop(out var value))
        {
            if (value.Producer is not { } node || !seen.Add(node))
                continue;
            foreach (var input in Graph.ReadBy(node).Where(ancestors.Add))
                pending.Push(input);
        }
        return ancestors;
    }
}
