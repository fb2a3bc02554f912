using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical;

/// <summary>Computes single values of a graph by running what leads to them, with tensors in the place of chosen values.</summary>
/// <remarks>
/// bfloat16 and float16 run as float32, because the CPU has no arithmetic for the one; a cast to them still rounds. The shape of a value of
/// known sizes counts as a constant, whatever the value depends on.
/// </remarks>
internal sealed class SubgraphEvaluator(Model model, IGraphEvaluator? evaluator, string pass)
{
    private readonly Dictionary<Value, IReadOnlyList<Value>> _leaves = [];

    /// <summary>The graph inputs on which a value depends, in the order of the graph.</summary>
    public IReadOnlyList<Value> Leaves(Value value)
    {
        if (_leaves.TryGetValue(value, out var known))
            return known;
        var found = new HashSet<Value>();
        Visit(value, node => false, leaf => found.Add(leaf));
        return _leaves[value] = [.. model.Graph.Inputs.Where(found.Contains)];
    }

    /// <summary>What keeps the value from being computed: the first node that is no operator of ONNX; null if nothing does.</summary>
    public static string? WhyNot(Value value)
    {
        string? reason = null;
        Visit(value, node =>
        {
            if (!node.IsStandard || node.Subgraphs.Any())
                reason ??= $"it depends on {node}";
            return reason is not null;
        }, _ => { });
        return reason;
    }

    /// <summary>Integer values that are not constant and enter the floating-point part of what computes the value: positions, say.</summary>
    public IReadOnlyList<Value> IntegerCuts(Value value)
    {
        var cuts = new List<Value>();
        Visit(value, node =>
        {
            var index = node.Is("Cast") ? 0 : node.Is("Gather") ? 1 : -1;
            if (index < 0 || node.Inputs[index]!.Type is not (ElementType.Int64 or ElementType.Int32) || Leaves(node.Inputs[index]!).Count == 0)
                return false;
            if (!cuts.Contains(node.Inputs[index]!))
                cuts.Add(node.Inputs[index]!);
            return true;
        }, _ => { });
        return cuts;
    }

    /// <summary>The value with these tensors in the place of others.</summary>
    /// <exception cref="PassException">There is no runtime that computes it.</exception>
    public Tensor Evaluate(Value value, IReadOnlyDictionary<Value, Tensor> given)
    {
        if (evaluator is null)
        {
            throw new PassException(pass, $"'{value.Name}'", "a runtime that computes what masks and tables hold", "none",
                "Give the pass manager an evaluator, or leave this pass out.");
        }
        var graph = new Graph("subgraph");
        var inputs = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        graph.AddOutput(AsOutput(graph, new Copier(graph, given, inputs).Copy(value)));
        var subgraph = new Model(graph, model.Operators) { IrVersion = model.IrVersion };
        foreach (var (domain, version) in model.Opsets)
            subgraph.Opsets[domain] = version;
        return evaluator.Evaluate(subgraph, inputs).Single();
    }

    /// <summary>A graph cannot return an initializer or an input as it is.</summary>
    private static Value AsOutput(Graph graph, Value value)
    {
        if (value.Producer is not null)
            return value;
        var output = new Value(graph.FreeName(value.Name + "/output"), value.Type, value.Shape);
        graph.Append(new Node("Identity", [value], [output]));
        return output;
    }

    /// <summary>Walks back from a value; a node for which <paramref name="stop"/> holds is not passed.</summary>
    private static void Visit(Value value, Func<Node, bool> stop, Action<Value> leaf)
    {
        var pending = new Stack<Value>([value]);
        var seen = new HashSet<Value>();
        while (pending.TryPop(out var at))
        {
            if (!seen.Add(at))
                continue;
            if (at.Producer is not { } node)
            {
                if (at.IsGraphInput && at.Initializer is null)
                    leaf(at);
                continue;
            }
            if (IsKnownShape(node) || stop(node))
                continue;
            foreach (var input in Graph.ReadBy(node))
                pending.Push(input);
        }
    }

    private static bool IsKnownShape(Node node) => node.Is("Shape") && node.Inputs[0]!.Shape is { IsStatic: true };

    private sealed class Copier(Graph graph, IReadOnlyDictionary<Value, Tensor> given, Dictionary<string, Tensor> inputs)
    {
        private readonly Dictionary<Value, Value> _copies = [];

        public Value Copy(Value value)
        {
            if (_copies.TryGetValue(value, out var copy))
                return copy;
            if (given.TryGetValue(value, out var tensor))
            {
                inputs[value.Name] = tensor;
                return _copies[value] = graph.AddInput(new Value(value.Name, tensor.Type, tensor.Shape));
            }
            if (value.Initializer is { } content)
                return _copies[value] = graph.AddInitializer(value.Name, Widened(content));
            if (value.Producer is not { } node)
                throw new InvalidOperationException($"'{value.Name}' is given no value");
            if (IsKnownShape(node))
            {
                var sizes = node.Inputs[0]!.Shape!.Sizes;
                var (start, end) = (From(node.Int("start", 0)), From(node.Int("end", sizes.Length)));
                return _copies[value] = graph.AddInitializer(value.Name, Tensor.Int64s(sizes.AsSpan(start, Math.Max(0, end - start))));

                int From(long axis) => (int)Math.Clamp(axis < 0 ? axis + sizes.Length : axis, 0, sizes.Length);
            }
            CopyNode(node);
            return _copies[value];
        }

        private void CopyNode(Node node)
        {
            var read = node.Inputs.Select(v => v is null ? null : Copy(v)).ToList();
            foreach (var output in node.Outputs)
                _copies[output] = new Value(output.Name, Wide(output.Type), output.Shape);
            var narrow = node.Is("Cast") && Wide(node.Output.Type) != node.Output.Type ? node.Output : null;
            var made = new Node(node.OpType, read, narrow is null ? node.Outputs.Select(o => _copies[o]) : [new Value($"{narrow.Name}/narrow", narrow.Type)],
                node.Domain, node.Name);
            foreach (var attribute in node.Attributes.Values)
                made.With(attribute.Content is Tensor tensor ? Halo.Ir.Attribute.Of(attribute.Name, Widened(tensor)) : attribute);
            graph.Append(made);
            if (narrow is not null)
                graph.Append(new Node("Cast", [made.Output], [_copies[narrow]]).With(Halo.Ir.Attribute.Of("to", (long)ElementType.Float)));
        }

        private static ElementType Wide(ElementType type) => type is ElementType.BFloat16 or ElementType.Float16 ? ElementType.Float : type;

        private static Tensor Widened(Tensor tensor)
        {
            if (Wide(tensor.Type) == tensor.Type)
                return tensor;
            var floats = new float[tensor.ElementCount];
            FloatConversions.ToFloat(tensor.Type, tensor.ToBytes(), floats);
            return Tensor.Floats([.. tensor.Sizes], floats);
        }
    }
}
