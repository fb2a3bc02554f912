using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Canonical;
using Halo.Passes.Infra;

namespace Halo.Passes.Fusion;

/// <summary>
/// Nodes of an inference graph that a GPU runs by one kernel become one: a gated unit, a residual sum with the norm of it, and products of one tensor with weights
/// of few bits.
/// </summary>
/// <remarks>
/// Sigmoid and two products become com.halo's SwiGlu, which rounds once. Y = SimplifiedLayerNormalization(A + B) becomes com.microsoft's
/// SkipSimplifiedLayerNormalization(A, B), whose last result is the sum, rounded as before. MatMulNBits of query, key and value, and of gate and up with their
/// unit, become com.halo's PackedProducts. A step of decoding is bound by the number of its kernels, which this takes from 17 a layer to 13, and to 9 where
/// weights are packed. For sessions on a GPU, whose copy of the graph alone is changed; ONNX Runtime fuses these nodes by itself on the CPU.
/// [ONNX Runtime, docs/ContribOperators.md]
/// </remarks>
public sealed record FuseInference() : IGraphPass
{
    private const string Domain = "com.microsoft";

    /// <summary>One rounding in float16 where there were three.</summary>
    private const double Bound = Canonicalize.Float16Bound;

    private const int SumOutput = 3, OutputCount = 4;

    public string Name => "fuse-inference";

    public ValueEffect Effect => new ValueEffect.Reassociating(Bound);

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        var (graph, pattern) = (new CanonicalGraph(model, context, Name), new SwiGluPattern());
        var units = model.Opset < HaloDomain.MinOpset ? [] : model.Graph.Nodes.Where(pattern.IsCandidate).ToList();
        foreach (var node in units.Where(n => n.Graph is not null))
        {
            if (pattern.Rewrite(graph, node) is { } reason)
                graph.Leave(pattern.Kind, node, reason);
            else
                rewrites++;
        }
        foreach (var norm in model.Graph.Nodes.Where(n => n.Is("SimplifiedLayerNormalization")).ToList())
            rewrites += TakeSum(model, norm, context) ? 1 : 0;
        rewrites += new JoinedProducts(model, context).Run();
        return new PassResult(rewrites);
    }

    /// <summary>Whether the norm is of a sum of two rows alike, which it takes itself then.</summary>
    private static bool TakeSum(Model model, Node norm, PassContext context)
    {
        var x = norm.Inputs[0]!;
        if (x.Producer is not { } add || !add.Is("Add") || x.IsGraphOutput)
            return false;
        var (a, b) = (add.Inputs[0]!, add.Inputs[1]!);
        if (x.Shape is not { Rank: 2 or 3 } shape || !shape.Equals(a.Shape) || !shape.Equals(b.Shape))
        {
            context.Skip(norm, "the terms of the sum have other sizes than the sum");
            return false;
        }
        var isLast = norm.Int("axis", -1) == -1 || norm.Int("axis", -1) == shape.Rank - 1;
        if (!isLast || norm.Int("stash_type", 1) != (long)ElementType.Float || norm.Inputs[1]!.Type != x.Type
            || norm.Outputs.Skip(1).Any(o => o.Uses.Count > 0 || o.IsGraphOutput))
        {
            context.Skip(norm, "not over the last axis in float32, or with statistics that are read");
            return false;
        }
        context.Step(norm, $"take the sum '{x.Name}' with it");
        var build = GraphBuilder.Before(add);
        var both = build.Node("with_norm", $"{Domain}.SkipSimplifiedLayerNormalization", [a, b, norm.Inputs[1]], OutputCount, "",
            Attribute.Of("epsilon", norm.Float("epsilon", 1e-5f)));
        Replacement.OfNode(model.Graph, add, _ => both.Outputs[SumOutput]);
        Replacement.OfNode(model.Graph, norm, _ => both.Output);
        model.Opsets[Domain] = 1;
        return true;
    }
}
