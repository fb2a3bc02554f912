using Halo.Analysis;
using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;

namespace Halo.Passes.Training;

/// <summary>Makes a forward graph of fixed batch take several batches at once, with one product for all their rows in each linear layer.</summary>
/// <remarks>
/// An exported graph has its batch B baked into hundreds of constants. Running it on N batches side by side and joining only what acts on rows
/// alone, Y = X W^T, is exact for any graph: X of each copy is concatenated, multiplied once, and split. A scale that quantize-operands
/// then takes spans all N B rows, as it does where the batch is N B. Batch inputs grow along their first axis; each copy gives its own loss,
/// <c>loss</c>, <c>loss.1</c>, ... because its mean is over its own counted tokens. Runs before rotate-operands and quantize-operands.
/// </remarks>
/// <param name="Copies">N; 1 leaves the graph as it is.</param>
public sealed record WidenBatch(int Copies) : IGraphPass
{
    /// <summary>Metadata of a batch input: how many batches it was widened to.</summary>
    private const string MetadataKey = "halo.batches";

    public string Name => "widen-batch";

    public ValueEffect Effect => new ValueEffect.Exact();

    public void Requires(Model model)
    {
        if (Copies < 1)
            throw new PassException(Name, "copies", "at least 1", $"{Copies}", "Give the number of batches to run at once.");
        if (model.Graph.Outputs.FirstOrDefault(TrainingNames.IsGradient) is { } gradient)
            throw new PassException(Name, $"output '{gradient.Name}'", "a forward graph", "a gradient", "Take the evaluation graph.");
    }

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var batchInputs = graph.Inputs.Where(i => !i.Type.IsFloat()).ToList();
        if (Copies == 1 || batchInputs.Exists(i => i.Metadata.ContainsKey(MetadataKey)))
        {
            context.Skip("the graph", Copies == 1 ? "one copy is the graph itself" : "already widened");
            return new PassResult(0);
        }
        var gemms = LinearGemms.In(graph).Layers.Where(l => !l.IsHead)
            .SelectMany(l => l.Gemms.Where(g => CanonicalGemm.WhyNot(g) is null).Select(g => CanonicalGemm.Make(l, g).Node)).ToHashSet();
        var nodes = graph.Nodes.ToList();
        var dependent = DependOn(batchInputs, nodes);
        // copy[v] are the N values that stand for v; a value that no batch input reaches stands for itself.
        var copies = batchInputs.ToDictionary(i => i, Widen(graph));
        foreach (var node in nodes.Where(dependent.Contains))
        {
            if (gemms.Contains(node))
            {
                Join(node, copies);
                continue;
            }
            var made = Enumerable.Range(1, Copies - 1).Select(n => CopyOf(graph, node, n, copies)).ToList();
            for (var o = 0; o < node.Outputs.Count; o++)
                copies[node.Outputs[o]] = [node.Outputs[o], .. made.Select(m => m.Outputs[o])];
            for (var i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is { } input && copies.TryGetValue(input, out var of) && of[0] != input)
                    node.ReplaceInput(i, of[0]);
            }
        }
        foreach (var output in graph.Outputs.ToList())
        {
            foreach (var (copy, n) in copies[output].Skip(1).Select((c, n) => (c, n + 1)))
            {
                if (graph.TryGetValue($"{output.Name}.{n}", out var taken) && taken != copy)
                    graph.Rename(taken, graph.FreeName($"{taken.Name}/inner")); // such as the second output of the operator that gives the loss
                graph.Rename(copy, $"{output.Name}.{n}");
                graph.AddOutput(copy);
            }
        }
        return new PassResult(Copies - 1);
    }

    /// <summary>The input takes N B rows and is split into N inputs of the old shape.</summary>
    private Func<Value, Value[]> Widen(Graph graph) => input =>
    {
        PassException Refused(string found, string advice) => new(Name, $"input '{input.Name}'", "a fixed batch", found, advice);
        var shape = input.Shape ?? throw Refused("an unknown shape", "Export the graph at one batch.");
        var rows = shape[0].Size ?? throw Refused(shape.ToString(), "A graph of free batch needs no widening.");
        input.Shape = new Shape([rows * Copies, .. shape.Skip(1)]);
        input.Metadata[MetadataKey] = $"{Copies}";
        var build = GraphBuilder.AfterDefinition(graph, input, $"{input.Name}/widen");
        return [.. build.Node("split", "Split", [input], Copies, "", Attribute.Of("axis", 0L), Attribute.Of("num_outputs", (long)Copies)).Outputs];
    };

    /// <summary>One product over the rows of all copies.</summary>
    private void Join(Node node, Dictionary<Value, Value[]> copies)
    {
        var x = node.Inputs[0]!;
        var y = node.Output;
        var parts = copies[x];
        var joined = parts[0].Uses.Select(u => u.Node).FirstOrDefault(n => n.Is("Concat") && n.Inputs.SequenceEqual(parts))?.Output
            ?? GraphBuilder.Before(node).Op("join", "Concat", parts, Attribute.Of("axis", 0L));
        node.ReplaceInput(0, joined);
        ShapeInference.Infer(node);
        var split = GraphBuilder.After(node).Node("split", "Split", [y], Copies, "", Attribute.Of("axis", 0L), Attribute.Of("num_outputs", (long)Copies));
        y.ReplaceUsesWith(split.Outputs[0], split);
        copies[y] = copies[split.Outputs[0]] = [.. split.Outputs]; // readers of y read the first part from here on
    }

    private static Node CopyOf(Graph graph, Node node, int n, Dictionary<Value, Value[]> copies)
    {
        var copy = new Node(node.OpType, node.Inputs.Select(v => v is not null && copies.TryGetValue(v, out var of) ? of[n] : v),
            node.Outputs.Select(o => new Value(graph.FreeName($"{o.Name}/copy{n}"), o.Type, o.Shape)), node.Domain, graph.FreeName($"{node.Name}/copy{n}"))
        { Overload = node.Overload };
        copy.With([.. node.Attributes.Values]);
        return graph.InsertAfter(node, copy);
    }

    private static HashSet<Node> DependOn(List<Value> inputs, List<Node> nodes)
    {
        var reached = new HashSet<Value>(inputs);
        var dependent = new HashSet<Node>();
        foreach (var node in nodes.Where(n => Graph.ReadBy(n).Any(reached.Contains)))
        {
            dependent.Add(node);
            reached.UnionWith(node.Outputs);
        }
        return dependent;
    }
}
