using Halo.Analysis.Shapes;
using Halo.Ir;

namespace Halo.Analysis;

/// <summary>Fills in element types and shapes of values from what the operators' definitions say.</summary>
/// <remarks>
/// Rules of standard operators stand in <c>Shapes/</c>, a file per family; each is a function of the node's inputs. Symbols are carried
/// through: equal symbols stay equal under broadcasting, products are written <c>2*batch*sequence</c>. Integer tensors that describe
/// shapes are folded on the way (<see cref="IntegerData"/>). Subgraphs and function bodies are left alone.
/// </remarks>
public static class ShapeInference
{
    private static readonly Dictionary<(string Domain, string OpType), InferenceRule> Rules = StandardRules();
    private static readonly Lock RulesLock = new();

    /// <summary>Adds the rule of one operator: it reads the inputs of the node and sets Type and Shape of its outputs.</summary>
    public static void Register(string domain, string opType, Action<Node> rule)
    {
        lock (RulesLock)
            Rules[(domain, opType)] = inference => inference.Call(rule);
    }

    /// <summary>Infers the outputs of one node; an operator without a rule leaves them as they are.</summary>
    /// <remarks>What is inferred replaces what was known, since a pass may have given the node other inputs.</remarks>
    public static void Infer(Node node) => Infer(node, new IntegerData(), keepsDeclared: false);

    /// <summary>Infers every node of the graph, in order. What is known already stays where the inference knows less.</summary>
    /// <exception cref="HaloException">A declared type or size contradicts the inferred one, or the inputs of a node contradict each other.</exception>
    public static void Run(Graph graph)
    {
        var data = new IntegerData();
        foreach (var node in graph.Nodes)
            Infer(node, data, keepsDeclared: true);
    }

    /// <summary>The elements of a scalar or list of integers that shapes and constants alone decide; null if one of them is not a number.</summary>
    public static long[]? KnownIntegers(Value value) =>
        new IntegerData().Of(value) is { } known && Array.TrueForAll(known.Elements, e => e.IsKnown)
            ? Array.ConvertAll(known.Elements, e => e.Size!.Value)
            : null;

    private static void Infer(Node node, IntegerData data, bool keepsDeclared)
    {
        // In a function body an attribute may stand for the caller's: what follows from it is known at each call only.
        if (Find(node) is { } rule && node.Attributes.Values.All(a => a.ReferenceTo is null))
            rule(new NodeInference(node, data, keepsDeclared));
    }

    private static InferenceRule? Find(Node node)
    {
        lock (RulesLock)
            return Rules.GetValueOrDefault((node.Domain, node.OpType));
    }

    private static Dictionary<(string, string), InferenceRule> StandardRules()
    {
        var rules = new Dictionary<(string, string), InferenceRule>();
        foreach (var family in new[]
        {
            ElementwiseShapes.Rules, ReductionShapes.Rules, ProductShapes.Rules, ReshapingShapes.Rules, SlicingShapes.Rules, IndexingShapes.Rules,
            SourceShapes.Rules, NormalizationShapes.Rules, AttentionShapes.Rules, QuantizationShapes.Rules,
        })
        {
            foreach (var (opType, rule) in family)
                rules.Add(("", opType), rule);
        }
        rules.Add(("com.microsoft", "FusedMatMul"), ProductShapes.FusedMatMul);
        rules.Add(("com.microsoft", "GroupQueryAttention"), AttentionShapes.GroupQueryAttention);
        rules.Add(("com.microsoft", "MatMulNBits"), ProductShapes.MatMulNBits);
        rules.Add(("com.microsoft", "Gelu"), ElementwiseShapes.LikeFirst);
        rules.Add(("com.microsoft", "QuickGelu"), ElementwiseShapes.LikeFirst);
        return rules;
    }
}
