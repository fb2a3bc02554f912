using Halo.Ir;

namespace Halo.Text;

/// <summary>Compares two models by structure, whatever their values are called.</summary>
/// <remarks>
/// Inputs, outputs and initializers correspond by name, then by position or content. Nodes correspond by what they are computed from and
/// lead to (<see cref="StructureHash"/>), by name, and as neighbours of what corresponds already; time and memory are linear.
/// </remarks>
public static class GraphDiff
{
    public static GraphDifference Between(Model a, Model b)
    {
        var lines = new List<string>();
        var renamed = new List<string>();
        Compare(lines, "ir_version", a.IrVersion.ToString(), b.IrVersion.ToString());
        foreach (var domain in a.Opsets.Keys.Union(b.Opsets.Keys).Order(StringComparer.Ordinal))
            Compare(lines, $"opset \"{domain}\"", a.Opsets.TryGetValue(domain, out var x) ? $"{x}" : "none",
                b.Opsets.TryGetValue(domain, out var y) ? $"{y}" : "none");

        var (sourcesA, sourcesB) = (new Dictionary<Value, ulong>(), new Dictionary<Value, ulong>());
        var initializers = (A: Contents(a.Graph), B: Contents(b.Graph));
        var inputs = Pairs("input", [.. a.Graph.Inputs.Where(v => v.Initializer is null)], [.. b.Graph.Inputs.Where(v => v.Initializer is null)], lines,
            renamed, HaveOneType);
        var outputs = Pairs("output", a.Graph.Outputs, b.Graph.Outputs, lines, renamed, HaveOneType);
        foreach (var (left, right) in inputs)
            sourcesA[left] = sourcesB[right] = StructureHash.Text($"input {left.Name}");
        MatchInitializers(initializers.A, initializers.B, sourcesA, sourcesB, lines);
        var ends = outputs.DistinctBy(p => p.A).ToDictionary(p => p.A, p => StructureHash.Text($"output {p.A.Name}"));
        var endsB = outputs.DistinctBy(p => p.B).ToDictionary(p => p.B, p => ends[p.A]);

        var (hashA, hashB) = (new StructureHash(a.Graph, sourcesA, ends), new StructureHash(b.Graph, sourcesB, endsB));
        var matching = new NodeMatching(a.Graph, b.Graph, hashA, hashB);
        bool Same(Value? left, Value? right)
        {
            if (left is null || right is null)
                return left is null && right is null;
            return hashA.Forward(left) == hashB.Forward(right)
                || (left.Producer is { } p && right.Producer is { } q && left.ProducerIndex == right.ProducerIndex && matching.Of(p) == q);
        }

        foreach (var (left, right) in outputs.Where(p => !Same(p.A, p.B)))
            lines.Add($"output '{left.Name}': computed by {By(left)} -> {By(right)}");
        CompareFunctions(a, b, lines);
        return new GraphDifference
        {
            OnlyInA = [.. a.Graph.Nodes.Where(n => matching.Of(n) is null)],
            OnlyInB = [.. b.Graph.Nodes.Where(n => !matching.IsMatched(n))],
            Changed = [.. a.Graph.Nodes.Where(n => matching.Of(n) is not null)
                .Select(n => new NodeChange(n, matching.Of(n)!, Changes(n, matching.Of(n)!, hashA, hashB, Same)))
                .Where(c => c.What.Length > 0)],
            OperatorCounts = Counts(a.Graph, b.Graph),
            Interface = lines,
            Renamed = renamed,
        };
    }

    private static string Changes(Node a, Node b, StructureHash hashA, StructureHash hashB, Func<Value?, Value?, bool> same)
    {
        var changes = new List<string>();
        if (hashA.Operator(a) != hashB.Operator(b))
            changes.Add($"{Call(a)} -> {Call(b)}");
        if (a.Outputs.Count != b.Outputs.Count)
            changes.Add($"{a.Outputs.Count} outputs -> {b.Outputs.Count}");
        for (var i = 0; i < Math.Max(a.Inputs.Count, b.Inputs.Count); i++)
        {
            if (!same(a.Input(i), b.Input(i)))
                changes.Add($"input {i} from {By(a.Input(i))} -> {By(b.Input(i))}");
        }
        return string.Join("; ", changes);
    }

    /// <summary>The operator with its attributes, as the text form has it.</summary>
    private static string Call(Node node)
    {
        var copy = new Node(node.OpType, [], [], node.Domain) { Overload = node.Overload };
        copy.With([.. node.Attributes.Values]);
        var text = GraphPrinter.Print(copy);
        return text[2..text.LastIndexOf('(')];
    }

    private static string By(Value? value) => value is null ? "nothing" : value.Producer?.ToString() ?? $"'{value.Name}'";

    private static void Compare(List<string> lines, string what, string a, string b)
    {
        if (a != b)
            lines.Add($"{what}: {a} -> {b}");
    }

    private static bool HaveOneType(Value a, Value b) => a.Type == b.Type && Equals(a.Shape, b.Shape);

    /// <summary>Pairs by name, then what is left by position if the types agree; the rest is a difference.</summary>
    private static List<(Value A, Value B)> Pairs(
        string kind, IReadOnlyList<Value> a, IReadOnlyList<Value> b, List<string> lines, List<string> renamed, Func<Value, Value, bool> fits)
    {
        var named = b.DistinctBy(v => v.Name).ToDictionary(v => v.Name, StringComparer.Ordinal);
        var pairs = a.Where(v => named.ContainsKey(v.Name)).Select(v => (A: v, B: named[v.Name])).ToList();
        foreach (var (left, right) in pairs.Where(p => !fits(p.A, p.B)))
            lines.Add($"{kind} '{left.Name}': {Names.Type(left.Type, left.Shape)} -> {Names.Type(right.Type, right.Shape)}");
        var (isPairedA, isPairedB) = (pairs.Select(p => p.A).ToHashSet(), pairs.Select(p => p.B).ToHashSet());
        for (var i = 0; i < Math.Max(a.Count, b.Count); i++)
        {
            var (left, right) = (i < a.Count && !isPairedA.Contains(a[i]) ? a[i] : null, i < b.Count && !isPairedB.Contains(b[i]) ? b[i] : null);
            if (left is not null && right is not null && fits(left, right))
            {
                pairs.Add((left, right));
                renamed.Add($"{kind} {Names.Bare(left.Name)} -> {Names.Bare(right.Name)}");
                continue;
            }
            if (left is not null)
                lines.Add($"{kind} '{left.Name}': only in A");
            if (right is not null)
                lines.Add($"{kind} '{right.Name}': only in B");
        }
        return pairs;
    }

    private static Dictionary<Value, ulong> Contents(Graph graph) => graph.Initializers.ToDictionary(v => v, v => StructureHash.Of(v.Initializer!));

    /// <summary>
    /// One name with other content is a change, and what is computed from it still corresponds; one content under two names is no difference.
    /// </summary>
    private static void MatchInitializers(
        Dictionary<Value, ulong> a, Dictionary<Value, ulong> b, Dictionary<Value, ulong> sourcesA, Dictionary<Value, ulong> sourcesB, List<string> lines)
    {
        var named = b.ToDictionary(p => p.Key.Name, p => p.Key, StringComparer.Ordinal);
        var (contentsA, contentsB) = (a.Values.ToHashSet(), b.Values.ToHashSet());
        foreach (var (value, content) in b)
            sourcesB[value] = content;
        foreach (var (value, content) in a)
        {
            sourcesA[value] = content;
            if (contentsB.Contains(content))
                continue;
            if (named.TryGetValue(value.Name, out var other) && !contentsA.Contains(b[other]))
            {
                sourcesA[value] = sourcesB[other] = StructureHash.Text($"initializer {value.Name}");
                lines.Add($"initializer '{value.Name}': {value.Initializer} -> {other.Initializer}"
                    + (value.Initializer!.ToString() == other.Initializer!.ToString() ? " of other content" : ""));
            }
            else
            {
                lines.Add($"initializer '{value.Name}' {value.Initializer}: only in A");
            }
        }
        foreach (var (value, content) in b.Where(p => !contentsA.Contains(p.Value) && sourcesB[p.Key] == p.Value))
            lines.Add($"initializer '{value.Name}' {value.Initializer}: only in B");
    }

    private static void CompareFunctions(Model a, Model b, List<string> lines)
    {
        var others = b.Functions.ToDictionary(f => f.Key);
        foreach (var function in a.Functions)
        {
            var name = $"function {Names.Operator(function.Domain, function.Name, function.Overload)}";
            if (!others.Remove(function.Key, out var other))
                lines.Add($"{name}: only in A");
            else if (StructureHash.Of(function) != StructureHash.Of(other))
                lines.Add($"{name}: another body");
        }
        foreach (var function in others.Values)
            lines.Add($"function {Names.Operator(function.Domain, function.Name, function.Overload)}: only in B");
    }

    private static List<(string, int, int)> Counts(Graph a, Graph b)
    {
        static Dictionary<string, int> Of(Graph graph) => graph.Nodes.CountBy(n => Names.Operator(n.Domain, n.OpType, n.Overload)).ToDictionary();
        var (left, right) = (Of(a), Of(b));
        return [.. left.Keys.Union(right.Keys).Order(StringComparer.Ordinal).Select(op => (op, left.GetValueOrDefault(op), right.GetValueOrDefault(op)))
            .Where(c => c.Item2 != c.Item3)];
    }
}
