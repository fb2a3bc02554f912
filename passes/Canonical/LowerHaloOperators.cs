using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Canonical;

/// <summary>Writes the operators of com.halo that an inference graph has in those of ONNX and ONNX Runtime.</summary>
/// <remarks>
/// RmsNorm becomes SimplifiedLayerNormalization, which ONNX Runtime has in ONNX's own domain: statistics in float32, one rounding at the end. SwiGlu becomes
/// Sigmoid and two products, each rounded. HadamardTransform stays, with its function body, which runs anywhere. Functions that nobody calls go.
/// </remarks>
[PassName("standardize")]
public sealed record LowerHaloOperators() : IGraphPass
{
    /// <summary>The mean in another order of sums, and a sigmoid that ONNX Runtime approximates.</summary>
    private const double Bound = 1e-5;

    public string Name => "standardize";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var graph = model.Graph;
        var rewrites = 0;
        foreach (var node in graph.Nodes.Where(n => n.Domain == HaloDomain.Name && !n.Is(nameof(HadamardTransform), HaloDomain.Name)).ToList())
        {
            context.Step(node, "write it in operators of ONNX Runtime");
            Replacement.OfNode(graph, node, Made(node));
            rewrites++;
        }
        if (rewrites > 0)
            RemoveFunctions(model);
        return new PassResult(rewrites);
    }

    public void Ensures(Model model)
    {
        if (model.Graph.Nodes.FirstOrDefault(n => n.Domain == HaloDomain.Name && !n.Is(nameof(HadamardTransform), HaloDomain.Name)) is { } left)
        {
            throw new PassException(Name, left, "", "no operator of com.halo but HadamardTransform", left.OpType,
                "This is a defect of the pass; please report it.");
        }
    }

    private Func<Value, Value> Made(Node node)
    {
        var build = GraphBuilder.Before(node);
        var (first, second) = (node.Inputs[0]!, node.Input(1)!);
        return old => (node.OpType, old.ProducerIndex) switch
        {
            (nameof(RmsNorm), 0) => build.Op("norm", "SimplifiedLayerNormalization", [first, second], Ir.Attribute.Of("axis", -1L),
                Ir.Attribute.Of("epsilon", node.Float("epsilon", 1e-5f)), Ir.Attribute.Of("stash_type", (long)ElementType.Float)),
            (nameof(SwiGlu), 0) => build.Op("gated", "Mul", [build.Op("silu", "Mul", [first, build.Op("sigmoid", "Sigmoid", [first])]), second]),
            (nameof(Attention) or nameof(RotaryEmbedding), _) => throw Refused(node, "Run cache-attention first."),
            (nameof(CrossEntropy), _) => throw Refused(node, "Run take-logits first."),
            _ => throw Refused(node, "Start from the forward graph before rewrites."),
        };
    }

    private PassException Refused(Node node, string advice) =>
        new(Name, node, "forward", "the first result of RmsNorm or SwiGlu, or HadamardTransform", node.OpType, advice);

    private static void RemoveFunctions(Model model)
    {
        foreach (var function in model.Functions.Where(f => f.Domain == HaloDomain.Name && !model.Graph.Nodes.Any(n => model.FindFunction(n) == f)).ToList())
            model.RemoveFunction(function);
        if (model.Graph.Nodes.All(n => n.Domain != HaloDomain.Name))
            model.Opsets.Remove(HaloDomain.Name);
    }
}
