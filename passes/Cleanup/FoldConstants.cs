using Halo.Analysis;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Computes what depends on constants and known sizes alone, makes initializers of Constant nodes, and drops Identity nodes.</summary>
/// <remarks>
/// The runtime that will run the graph computes the constants, all in one run, so their bits are the same as if it had computed
/// them in place. A result of one repeated value is written as ConstantOfShape, and such nodes stay: fold-splats is never undone.
/// Constants that have to be computed with no evaluator at hand are an error: a pipeline that silently folds less is not the one asked for.
/// </remarks>
/// <param name="MaxBytes">Results of more bytes stay computed.</param>
public sealed record FoldConstants(long MaxBytes = 1 << 20) : IGraphPass
{
    /// <summary>The operators for which the CPU provider takes bfloat16.</summary>
    private static readonly HashSet<string> MovesBFloat16 = new(StringComparer.Ordinal)
    {
        "Cast", "Identity", "Transpose", "Reshape", "Gather", "Concat", "Slice",
    };

    public string Name => "fold-constants";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var graph in Graphs.WithSubgraphs(model.Graph))
            rewrites += ConstantNodes(graph, context) + Identities(graph, context);
        ShapeInference.Run(model.Graph);
        return new PassResult(rewrites + Sizes(model.Graph, context) + Compute(model, context));
    }

    private static int ConstantNodes(Graph graph, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in graph.Nodes.Where(n => n.Is("Constant")).ToList())
        {
            if (Constants.Of(node) is not { } tensor)
            {
                context.Skip(node, "its content has no tensor form");
                continue;
            }
            if (node.Output.IsGraphOutput && !graph.Outputs.Contains(node.Output))
            {
                context.Skip(node, "a subgraph returns it");
                continue;
            }
            context.Step(node, "make an initializer");
            Replacement.OfNode(graph, node, output => graph.AddInitializer(graph.FreeName(output.Name + Replacement.Suffix), tensor));
            rewrites++;
        }
        return rewrites;
    }

    private static int Identities(Graph graph, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in graph.Nodes.Where(n => n.Is("Identity")).ToList())
        {
            var (from, to) = (node.Inputs[0]!, node.Output);
            if (to.IsGraphOutput && (from.Producer is null || from.Producer.Graph != graph || from.IsGraphOutput || !graph.Outputs.Contains(to)))
            {
                context.Skip(node, "a graph output needs a node of its own");
                continue;
            }
            context.Step(node, "drop");
            foreach (var (k, v) in to.Metadata)
                from.Metadata.TryAdd(k, v);
            to.ReplaceUsesWith(from);
            if (to.IsGraphOutput)
                graph.ReplaceOutput(to, from);
            graph.Remove(node);
            rewrites++;
        }
        return rewrites;
    }

    /// <summary>Shape and Size of a value whose sizes are all numbers are constants, whatever the value holds.</summary>
    private static int Sizes(Graph graph, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in graph.Nodes.Where(n => n.Is("Shape") || n.Is("Size")).ToList())
        {
            if (node.Inputs[0]!.Shape is not { IsStatic: true } || ShapeInference.KnownIntegers(node.Output) is not { } sizes)
                continue;
            context.Step(node, "fold sizes");
            var tensor = node.Is("Size") ? Tensor.Scalar(sizes[0]) : Tensor.Int64s(sizes);
            Replacement.OfNode(graph, node, output => graph.AddInitializer(graph.FreeName(output.Name + Replacement.Suffix), tensor));
            rewrites++;
        }
        return rewrites;
    }

    private int Compute(Model model, PassContext context)
    {
        var graph = model.Graph;
        var constant = new HashSet<Value>(graph.Initializers.Where(v => !v.IsGraphInput));
        var folding = new List<Node>();
        foreach (var node in graph.Nodes)
        {
            if (!node.Inputs.All(v => v is null || constant.Contains(v)) || node.Is("Constant"))
                continue;
            if (WhyNot(model, node) is { } reason)
            {
                context.Skip(node, reason);
                if (node.Is("ConstantOfShape"))
                    constant.UnionWith(node.Outputs); // known, so what it feeds can be computed
                continue;
            }
            folding.Add(node);
            constant.UnionWith(node.Outputs);
        }
        if (folding.Count == 0)
            return 0;
        var evaluator = context.Evaluator
            ?? throw new PassException(Name, folding[0], "constant", "a runtime that computes it", "none",
                "Give the pass manager an evaluator, or leave this pass out.");
        var batch = Batch(model, folding);
        var results = batch.Graph.Outputs.Zip(evaluator.Evaluate(batch, new Dictionary<string, Tensor>()))
            .ToDictionary(p => p.First.Name, p => p.Second, StringComparer.Ordinal);

        var folded = new HashSet<Node>();
        foreach (var node in folding)
        {
            if (node.Outputs.Any(o => results[o.Name].SizeBytes > MaxBytes))
                context.Skip(node, $"its result has more than {MaxBytes} bytes");
            else if (node.Outputs.Any(o => o.IsGraphOutput && IsLargeSplat(results[o.Name])))
                context.Skip(node, "a repeated value stays unexpanded");
            else
                folded.Add(node);
        }
        var splats = new SplatNodes(graph);
        foreach (var node in folding.Where(folded.Contains).Reverse())
        {
            context.Step(node, "fold");
            Replacement.OfNode(graph, node, output =>
            {
                var result = results[output.Name];
                return !output.IsGraphOutput && result.SizeBytes > FoldSplats.DefaultMinBytes && Splat.IsSupported(result.Type, model.Opset)
                    && !output.Uses.Any(Splat.WantsInitializer) && Splat.Find(result) is { } element
                    ? splats.Make(output, result, element)
                    : graph.AddInitializer(graph.FreeName(output.Name + Replacement.Suffix), result);
            });
        }
        graph.RemoveUnusedInitializers();
        return folded.Count;
    }

    private string? WhyNot(Model model, Node node)
    {
        if (!node.IsStandard || !Purity.IsPure(model, node))
            return "it is no ONNX operator that always computes the same";
        if (node.Outputs.Any(o => o.IsGraphOutput && !model.Graph.Outputs.Contains(o)))
            return "a subgraph returns it";
        var types = node.Inputs.Concat(node.Outputs).OfType<Value>().Select(v => v.Type).Append((ElementType)node.Int("to", 0)).ToList();
        if (types.Any(t => t >= ElementType.Float8E4M3FN))
            return "the caller of the runtime cannot read floats of 8 bits and what is smaller";
        if (types.Contains(ElementType.BFloat16) && !MovesBFloat16.Contains(node.OpType))
            return "the CPU has no bfloat16 arithmetic";
        if (node.Is("ConstantOfShape") && SizeBytes(node) > FoldSplats.DefaultMinBytes)
            return "a repeated value stays unexpanded";
        return node.Outputs.Any(o => KnownBytes(o) > MaxBytes) ? $"its result has more than {MaxBytes} bytes" : null;
    }

    private static bool IsLargeSplat(Tensor tensor) => tensor.SizeBytes > FoldSplats.DefaultMinBytes && Splat.Find(tensor) is not null;

    private static long SizeBytes(Node constantOfShape)
    {
        var type = constantOfShape.Attributes.TryGetValue("value", out var value) ? value.Tensor.Type : ElementType.Float;
        return constantOfShape.Inputs[0]?.Initializer is { } shape ? type.SizeBytes(Shape.Of(shape.ToInt64s()).ElementCount!.Value) : 0;
    }

    private static long KnownBytes(Value value) => value.Shape?.ElementCount is { } count ? value.Type.SizeBytes(count) : 0;

    /// <summary>A graph of its own of the nodes and what they read; every result is an output.</summary>
    private static Model Batch(Model model, IReadOnlyList<Node> folding)
    {
        var graph = new Graph("constants");
        var copies = new Dictionary<Value, Value>();
        Value Copy(Value value)
        {
            if (copies.TryGetValue(value, out var copy))
                return copy;
            if (value.Initializer is { } tensor)
                return copies[value] = graph.AddInitializer(value.Name, tensor);
            CopyNode(value.Producer!); // a ConstantOfShape that stays
            return copies[value];
        }
        void CopyNode(Node node)
        {
            var inputs = node.Inputs.Select(v => v is null ? null : Copy(v)).ToList();
            var outputs = node.Outputs.Select(o => copies[o] = new Value(o.Name, o.Type, o.Shape)).ToList();
            graph.Append(new Node(node.OpType, inputs, outputs, node.Domain, node.Name).With([.. node.Attributes.Values]));
        }
        foreach (var node in folding)
            CopyNode(node);
        foreach (var output in folding.SelectMany(n => n.Outputs))
            graph.AddOutput(copies[output]);
        var batch = new Model(graph, model.Operators) { IrVersion = model.IrVersion };
        foreach (var (domain, version) in model.Opsets)
            batch.Opsets[domain] = version;
        return batch;
    }
}
