using Halo.Analysis;
using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Cleanup;
using Halo.Passes.Infra;
using Halo.Passes.Rewrite;

namespace Halo.Passes.Training;

/// <summary>Splits off a training graph with adapters what follows from the frozen parameters alone: rotated codes of weights, copies in other types.</summary>
/// <remarks>
/// That is computed once, by a graph of its own, and held: a byte a weight in place of four, and no rotation or quantization of it in any step. The training
/// graph reads it by inputs of the values' names, which are marked; weights that nothing else reads are inputs no longer. Codes of FP8 are held as bytes
/// (<see cref="BitCast"/>): ONNX Runtime's C# sessions take no inputs of that type.
/// </remarks>
internal static class FrozenBase
{
    /// <summary>The key that marks an input that is held, among its metadata.</summary>
    public const string HeldKey = "halo.held";

    public static bool IsHeld(Value input) => input.Metadata.ContainsKey(HeldKey);

    /// <summary>Splits a graph that was rewritten.</summary>
    /// <param name="training">Is changed where there is something to hold.</param>
    /// <returns>From frozen parameters to what the training graph reads of them; null where there are no adapters or nothing is computed.</returns>
    public static Model? Split(Model training)
    {
        var graph = training.Graph;
        if (!graph.Inputs.Any(i => AdapterNames.IsTrained(i.Name)))
            return null;
        var frozen = FrozenIn(graph);
        if (Following(graph, frozen, _ => true).Held.Count == 0)
            return null;
        LinearReport.Keep(graph); // layers are found by their weights
        var taken = Split(training, frozen, _ => true, "true");
        foreach (var parameter in frozen.Where(p => p.Uses.Count == 0))
            graph.RemoveInput(parameter);
        return taken;
    }

    /// <summary>Splits off what follows from some inputs and constants alone.</summary>
    /// <param name="model">Is changed where there is something to hold.</param>
    /// <param name="roots">The inputs, which stay.</param>
    /// <param name="isHeld">Which values may be held; others are computed on either side where both need them.</param>
    /// <param name="mark">The value of <see cref="HeldKey"/>.</param>
    /// <returns>From the inputs to what the model reads of them; null where that is nothing.</returns>
    internal static Model? Split(Model model, IReadOnlyList<Value> roots, Func<Value, bool> isHeld, string mark)
    {
        var graph = model.Graph;
        var (held, nodes) = Following(graph, roots, isHeld);
        if (held.Count == 0)
            return null;
        if (held.Any(v => v.Type.IsFloat8()))
        {
            foreach (var codes in held.Where(v => v.Type.IsFloat8()))
                PassAsBytes(codes, nodes);
            (held, nodes) = Following(graph, roots, v => isHeld(v) || IsToBytes(v.Producer!));
        }
        var names = held.Select(v => v.Name).ToHashSet(StringComparer.Ordinal);
        var taken = Part(model, names);
        foreach (var value in held)
        {
            var name = value.Name;
            graph.Rename(value, graph.FreeName($"{name}/once"));
            var input = graph.AddInput(new Value(name, value.Type, value.Shape));
            input.Metadata[HeldKey] = mark;
            foreach (var use in value.Uses.Where(u => !nodes.Contains(u.Node)).ToList())
                use.Node.ReplaceInput(use.Index, input);
        }
        PassManager.Run(model, [new RemoveDeadCode()], new PassOptions());
        return taken;
    }

    /// <summary>Lets the graph of a frozen base give what a training graph reads of it transposed (<see cref="HoldTransposedCodes"/>), too.</summary>
    /// <param name="frozen">From <see cref="Split(Model)"/>; is changed.</param>
    /// <param name="reader">The training graph.</param>
    public static void AddTransposed(Model frozen, Graph reader)
    {
        foreach (var input in HoldTransposedCodes.In(reader).Where(i => !frozen.Graph.TryGetValue(i.Name, out _)))
        {
            var codes = frozen.Graph.Values[input.Metadata[HoldTransposedCodes.Key]];
            frozen.Graph.AddOutput(GraphBuilder.AtEnd(frozen.Graph).Op(input.Name, "Transpose", [codes], Attribute.Of("perm", [1L, 0L])));
        }
    }

    /// <summary>A graph of some of a model's values, with the inputs that they need.</summary>
    public static Model Part(Model model, IReadOnlySet<string> names)
    {
        var part = model.Clone();
        foreach (var output in part.Graph.Outputs.ToList())
            part.Graph.RemoveOutput(output);
        foreach (var name in names)
            part.Graph.AddOutput(part.Graph.Values[name]);
        PassManager.Run(part, [new RemoveDeadCode()], new PassOptions());
        foreach (var input in part.Graph.Inputs.Where(i => i is { Uses.Count: 0, IsGraphOutput: false }).ToList())
            part.Graph.RemoveInput(input);
        return part;
    }

    /// <summary>The nodes that compute of frozen parameters and constants alone; none where there are no adapters.</summary>
    public static IReadOnlySet<Node> NodesOf(Graph graph) => graph.Inputs.Any(i => AdapterNames.IsTrained(i.Name)) ? Following(graph, FrozenIn(graph), _ => true).Nodes : [];

    /// <summary>Lets those that read codes from outside of <paramref name="nodes"/> read them through a value of bytes.</summary>
    private static void PassAsBytes(Value codes, HashSet<Node> nodes)
    {
        var readers = codes.Uses.Where(u => !nodes.Contains(u.Node)).ToList();
        var build = GraphBuilder.After(codes.Producer!, "");
        var floats = build.BitCast(build.BitCast(codes, ElementType.UInt8, $"{codes.Name}/bytes"), codes.Type, $"{codes.Name}/floats");
        foreach (var use in readers)
            use.Node.ReplaceInput(use.Index, floats);
    }

    private static bool IsToBytes(Node node) => node.Is(nameof(BitCast), HaloDomain.Name) && node.Output.Type == ElementType.UInt8;

    private static bool IsFromBytes(Node node) => node.Is(nameof(BitCast), HaloDomain.Name) && node.Output.Type.IsFloat8();

    private static List<Value> FrozenIn(Graph graph) => [.. graph.Inputs.Where(i => i.Type.IsFloat() && !AdapterNames.IsTrained(i.Name) && !IsHeld(i))];

    /// <summary>What nodes compute of some inputs and constants alone and other nodes read, of what may be held, and those nodes.</summary>
    private static (List<Value> Held, HashSet<Node> Nodes) Following(Graph graph, IReadOnlyList<Value> roots, Func<Value, bool> isHeld)
    {
        var (following, nodes) = (roots.ToHashSet(), new HashSet<Node>());
        foreach (var node in graph.Nodes.Where(n => !n.Subgraphs.Any()))
        {
            var read = node.Inputs.OfType<Value>().ToList();
            if (!read.Any(following.Contains) || !read.All(v => following.Contains(v) || v.Constant is not null) || node.Outputs.Any(o => o.IsGraphOutput) || IsFromBytes(node))
                continue;
            nodes.Add(node);
            following.UnionWith(node.Outputs);
        }
        return ([.. graph.Nodes.Where(nodes.Contains).SelectMany(n => n.Outputs).Where(o => o.Uses.Any(u => !nodes.Contains(u.Node)) && isHeld(o))], nodes);
    }
}
