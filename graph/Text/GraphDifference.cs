using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Halo.Ir;

namespace Halo.Text;

/// <summary>A node that is in both graphs, but not the same.</summary>
/// <param name="A">The node in the first graph.</param>
/// <param name="B">The node in the second graph.</param>
/// <param name="What">Its attributes or inputs that differ.</param>
public sealed record NodeChange(Node A, Node B, string What);

/// <summary>What two models differ in. Names of values and nodes are no difference; those of inputs and outputs that changed are told apart.</summary>
public sealed partial record GraphDifference
{
    private const int MaxLines = 20;

    public required IReadOnlyList<Node> OnlyInA { get; init; }

    public required IReadOnlyList<Node> OnlyInB { get; init; }

    public required IReadOnlyList<NodeChange> Changed { get; init; }

    /// <summary>Operators that one model has more often than the other.</summary>
    public required IReadOnlyList<(string Operator, int A, int B)> OperatorCounts { get; init; }

    /// <summary>Differences of operator sets, inputs, outputs, initializers and functions, a line each.</summary>
    public required IReadOnlyList<string> Interface { get; init; }

    /// <summary>Inputs and outputs that correspond under another name, which alone make no difference.</summary>
    public required IReadOnlyList<string> Renamed { get; init; }

    public bool IsEmpty => OnlyInA.Count + OnlyInB.Count + Changed.Count + Interface.Count == 0;

    /// <summary>A line each; more than 20 nodes are counted per layer and operator.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        if (IsEmpty)
            text.Append("same structure\n");
        Section(text, "model", Interface);
        Section(text, "operators", OperatorCounts.Select(c => $"{c.Operator} {c.A} -> {c.B}").ToList());
        Nodes(text, "only in A", OnlyInA, n => GraphPrinter.Print(n));
        Nodes(text, "only in B", OnlyInB, n => GraphPrinter.Print(n));
        Nodes(text, "changed", Changed, c => $"{c.A}: {c.What}", c => c.A);
        Section(text, "renamed", Renamed);
        return text.ToString();
    }

    private static void Nodes(StringBuilder text, string title, IReadOnlyList<Node> nodes, Func<Node, string> line) => Nodes(text, title, nodes, line, n => n);

    private static void Nodes<T>(StringBuilder text, string title, IReadOnlyList<T> items, Func<T, string> line, Func<T, Node> node)
    {
        var lines = items.Count <= MaxLines
            ? items.Select(line)
            : items.GroupBy(i => Layer(node(i))).OrderBy(g => g.Key)
                .Select(g => $"{(g.Key < 0 ? "outside layers" : $"layer {g.Key}")}: {g.Count()} nodes ({Operators(g.Select(node))})");
        Section(text, title, lines.ToList(), items.Count);
    }

    private static void Section(StringBuilder text, string title, IReadOnlyList<string> lines, int? count = null)
    {
        if (lines.Count == 0)
            return;
        text.Append($"{title} ({count ?? lines.Count}):\n");
        foreach (var line in lines)
            text.Append($"  {line}\n");
    }

    private static string Operators(IEnumerable<Node> nodes) => string.Join(", ", nodes
        .GroupBy(n => Names.Operator(n.Domain, n.OpType, n.Overload))
        .OrderByDescending(g => g.Count()).ThenBy(g => g.Key, StringComparer.Ordinal)
        .Select(g => $"{g.Key} {g.Count()}"));

    /// <summary>The number behind "layers" in what the node is called, reads or was exported from; -1 if there is none.</summary>
    private static int Layer(Node node)
    {
        var names = new[] { node.Name }.Concat(node.Outputs.Select(o => o.Name)).Concat(node.Inputs.Select(i => i?.Name ?? "")).Concat(node.Metadata.Values);
        foreach (var name in names)
        {
            if (LayerNumber().Match(name) is { Success: true } match)
                return int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
        }
        return -1;
    }

    [GeneratedRegex(@"layers[._/](\d{1,6})")]
    private static partial Regex LayerNumber();
}
