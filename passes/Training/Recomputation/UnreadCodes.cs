using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training.Recomputation;

/// <summary>Drops codes that nobody reads of a Quantize that gives both orders: a runtime would keep them to the end of the run.</summary>
/// <remarks>Products that read the transposed codes alone read the plain ones transposed, which is what the other order saved them.</remarks>
internal static class UnreadCodes
{
    public static void Drop(Model model)
    {
        foreach (var node in model.Graph.Nodes.Where(n => n.Is(nameof(Quantize), HaloDomain.Name) && n.Outputs.Count == 3).ToList())
        {
            var (codes, turned) = (node.Outputs[0], node.Outputs[2]);
            if (node.Outputs.Any(o => o.IsGraphOutput) || (codes.Uses.Count > 0 && turned.Uses.Count > 0)
                || turned.Uses.Any(u => !u.Node.Is(nameof(ScaledMatMul), HaloDomain.Name)))
                continue;
            var format = NumberFormat.Parse(node.Attributes["format"].String)!;
            var (q, scale) = GraphBuilder.Before(node, "").Quantize(node.Inputs[0]!, format, codes.Name + Replacement.Suffix, node.Input(1));
            q.Producer!.Name = node.Name;
            foreach (var use in turned.Uses.ToList())
            {
                var flag = use.Index == 0 ? "transA" : "transB";
                use.Node.ReplaceInput(use.Index, q);
                use.Node.Attributes[flag] = Attribute.Of(flag, 1 - use.Node.Int(flag, 0));
            }
            codes.ReplaceUsesWith(q);
            node.Outputs[1].ReplaceUsesWith(scale);
            model.Graph.Remove(node);
        }
    }
}
