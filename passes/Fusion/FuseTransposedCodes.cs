using Halo.Building;
using Halo.CustomOps;
using Halo.Ir;
using Halo.Passes.Infra;
using Halo.Passes.Training;

namespace Halo.Passes.Fusion;

/// <summary>Codes that a product reads across their rows are written in that order, too, by the kernel that quantizes.</summary>
/// <remarks>
/// The matrix units of GPUs multiply 8-bit operands whose contracted axis lies together: A (M, K), B (N, K). G contracts tokens, E output features, along which
/// neither X, W nor E_Y lie; their codes would be transposed in front of each product. Here Quantize writes them in both orders at once. For graphs that run
/// on a GPU: a CPU multiplies either way, and would only write more.
/// </remarks>
public sealed record FuseTransposedCodes() : IGraphPass
{
    public string Name => "fuse-transposed-codes";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var frozen = FrozenBase.NodesOf(model.Graph);
        return new PassResult(model.Graph.Nodes.Where(n => n.Is(nameof(ScaledMatMul), HaloDomain.Name)).ToList()
            .Sum(product => Turn(model, context, product, 0, "transA", 0, frozen) + Turn(model, context, product, 2, "transB", 1, frozen)));
    }

    private static int Turn(Model model, PassContext context, Node product, int operand, string flag, long wanted, IReadOnlySet<Node> frozen)
    {
        var codes = product.Inputs[operand]!;
        if (product.Int(flag, 0) == wanted)
            return 0;
        if (codes.Producer is not { } quantize || !quantize.Is(nameof(Quantize), HaloDomain.Name) || codes.ProducerIndex != 0 || codes.Shape is not { Rank: 2 })
        {
            context.Skip(product, $"'{codes.Name}' are no codes that a Quantize gives of a matrix");
            return 0;
        }
        if (frozen.Contains(quantize))
        {
            context.Skip(product, $"'{codes.Name}' are held: in one order, a byte a weight");
            return 0;
        }
        context.Step(product, $"read '{codes.Name}' transposed");
        var turned = quantize.Outputs.Count == 3 ? quantize.Outputs[2] : WithTransposed(model, quantize);
        product.ReplaceInput(operand, turned);
        product.Attributes[flag] = Attribute.Of(flag, wanted);
        return 1;
    }

    /// <summary>Puts a Quantize that gives both orders in place of one that does not; returns the codes transposed.</summary>
    private static Value WithTransposed(Model model, Node quantize)
    {
        var (codes, scale) = (quantize.Outputs[0].Name, quantize.Outputs[1].Name);
        var format = NumberFormat.Parse(quantize.Attributes["format"].String)!;
        var (q, s, turned) = GraphBuilder.Before(quantize, "").QuantizeBoth(quantize.Inputs[0]!, format, codes + Replacement.Suffix, quantize.Input(1));
        Replacement.OfNode(model.Graph, quantize, old => old.Name == codes ? q : s);
        if (!s.IsGraphOutput)
            model.Graph.Rename(s, scale);
        model.Graph.Rename(turned, model.Graph.FreeName($"{codes}/transposed"));
        return turned;
    }
}
