using Halo.Ir;
using Halo.Operators;

namespace Halo.Analysis;

/// <summary>Rules of one graph and the graphs inside it: order, names, links both ways, types.</summary>
internal sealed class GraphRules
{
    private readonly HashSet<Value> _defined = [];
    private readonly Dictionary<Value, int> _slots = [];
    private readonly HashSet<Use> _uses = [];

    public static void Check(Graph graph)
    {
        var rules = new GraphRules();
        rules.Visit(graph);
        rules.CheckUses();
    }

    private void Visit(Graph graph)
    {
        foreach (var input in graph.Inputs)
            Define(graph, input, input.IsGraphInput && input.Producer is null, "marked as a graph input");
        foreach (var value in graph.Initializers)
            CheckInitializer(graph, value);
        Node? previous = null;
        foreach (var node in graph.Nodes)
        {
            if (node.Previous != previous)
                throw new VerifierException(node, $"{previous?.ToString() ?? "nothing"} linked before it", node.Previous?.ToString() ?? "nothing");
            previous = node;
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is not { } input)
                    continue;
                if (!_defined.Contains(input))
                    throw new VerifierException(node, $"input {i}, '{input.Name}', to be defined before it", WhereDefined(input));
                _slots[input] = _slots.GetValueOrDefault(input) + 1;
            }
            foreach (var subgraph in node.Subgraphs)
                Visit(subgraph);
            OperandTypes.Check(node);
            for (var i = 0; i < node.Outputs.Count; i++)
            {
                var output = node.Outputs[i];
                if (output.Producer != node || output.ProducerIndex != i)
                    throw new VerifierException(node, $"output {i}, '{output.Name}', to name it as its producer", output.Producer?.ToString() ?? "none");
                Define(graph, output, !output.IsGraphInput && output.Initializer is null, "defined by its node alone", node);
            }
        }
        foreach (var output in graph.Outputs)
        {
            if (!_defined.Contains(output))
                throw new VerifierException($"graph '{graph.Name}'", $"output '{output.Name}' to be defined", WhereDefined(output));
            if (!output.IsGraphOutput)
                throw new VerifierException($"graph '{graph.Name}'", $"'{output.Name}' to be marked as a graph output", "no mark");
        }
    }

    private void CheckInitializer(Graph graph, Value value)
    {
        var subject = $"initializer '{value.Name}'";
        if (value.Initializer is not { } tensor)
            throw new VerifierException(subject, "a content", "none");
        if (tensor.Type == ElementType.Undefined || value.Type != tensor.Type)
            throw new VerifierException(subject, $"the type of its content, {tensor}", value.Type.Name());
        if (value.Shape is { } shape && (shape.Rank != tensor.Sizes.Count || shape.Zip(tensor.Sizes).Any(d => d.First.IsKnown && d.First.Size != d.Second)))
            throw new VerifierException(subject, $"the shape of its content, {tensor}", shape.ToString());
        if (!value.IsGraphInput)
            Define(graph, value, value.Producer is null, "defined by its content alone");
    }

    private void Define(Graph graph, Value value, bool isRight, string expected, Node? node = null)
    {
        VerifierException Wrong(string expected, string found) =>
            node is null ? new VerifierException($"'{value.Name}' of graph '{graph.Name}'", expected, found) : new VerifierException(node, expected, found);
        if (!isRight)
            throw Wrong($"'{value.Name}' {expected}", "another definition or none");
        if (!graph.TryGetValue(value.Name, out var named) || named != value)
            throw Wrong($"'{value.Name}' under its name in the graph", named is null ? "none" : "another value of this name");
        for (var outer = graph.Outer; outer is not null; outer = outer.Outer)
        {
            if (outer.TryGetValue(value.Name, out _))
                throw Wrong($"a name that graph '{outer.Name}' around it does not use", $"'{value.Name}'");
        }
        if (!_defined.Add(value))
            throw Wrong("one definition", $"a second one of '{value.Name}'");
    }

    /// <summary>Each use in a list is a slot that reads the value, and there are as many as slots: the lists agree both ways.</summary>
    private void CheckUses()
    {
        foreach (var value in _defined)
        {
            foreach (var use in value.Uses)
            {
                if (use.Node.Graph is null)
                    throw new VerifierException($"'{value.Name}'", "uses by nodes of the graph", $"{use.Node}, which is in none");
                if (use.Node.Input(use.Index) != value || !_uses.Add(use))
                    throw new VerifierException(use.Node, $"input {use.Index} to read '{value.Name}', as its use list says",
                        $"'{use.Node.Input(use.Index)?.Name}'");
            }
            if (value.Uses.Count != _slots.GetValueOrDefault(value))
                throw new VerifierException($"'{value.Name}'", $"{_slots.GetValueOrDefault(value)} uses in its list, as many as inputs read it",
                    $"{value.Uses.Count}");
        }
    }

    private static string WhereDefined(Value value) => value.Producer is { } producer
        ? producer.Graph is null ? $"{producer}, which is in no graph" : $"{producer} behind it or in another graph"
        : value.IsGraphInput || value.Initializer is not null ? "an input or initializer of another graph" : "no definition";
}
