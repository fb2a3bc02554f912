using Halo.Analysis;
using Halo.Ir;
using Halo.Operators;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;
using Halo.Passes.Training.Parameters;

namespace Halo.Passes.Canonical;

/// <summary>Changes the float type of a graph: of its parameters, and of what is computed from them.</summary>
/// <remarks>
/// To fp32, every 16-bit float becomes float32 and casts between floats vanish. To bf16 or fp16, parameters and products become 16 bits, while norm
/// statistics, softmax, losses, sums and what does not depend on a parameter (masks, the cosines and sines of rotary embeddings) are computed
/// in float32, with casts where the two meet (<see cref="PrecisionClass"/>). Islands of float32 that an exporter made stay. Loss and logits
/// are float32, every other float output has the parameters' type. Works on forward and on training graphs before operators are fused, and on inference
/// graphs, whose cache has the parameters' type.
/// </remarks>
/// <param name="To">The type of the parameters.</param>
/// <param name="KeepParameters">Parameters, which are inputs, and their gradients stay float32; the graph computes with copies of them.</param>
public sealed record ConvertPrecision(FloatPrecision To, bool KeepParameters = false) : IGraphPass
{
    /// <summary>What 16 bits keep of a gradient, with room: a relative error of 2e-2 is 34 dB.</summary>
    private const double FloorDb = 25;

    public string Name => "convert-precision";

    public ValueEffect Effect => new ValueEffect.Quantizing(FloorDb);

    public void Requires(Model model)
    {
        foreach (var node in model.Graph.Nodes)
        {
            if (node.Subgraphs.Any())
                throw new PassException(Name, node, "", "a graph without control flow", node.OpType, "Export the model without it.");
            var isTouched = To != FloatPrecision.Fp32
                || node.Inputs.Concat(node.Outputs).Any(v => v?.Type is ElementType.Float16 or ElementType.BFloat16);
            if (!node.IsStandard && node.Facts.Precision is null && isTouched)
            {
                throw new PassException(Name, node, "", "standard operators, whose types follow from their operands", $"{node.Domain}.{node.OpType}",
                    "Run convert-precision before passes that fuse, rotate or quantize.");
            }
        }
    }

    public PassResult Run(Model model, PassContext context)
    {
        ShapeInference.Run(model.Graph);
        var rewrite = new PrecisionRewrite(model.Graph, To.Type(), context);
        rewrite.DropCasts();
        rewrite.ConvertSources(To == FloatPrecision.Fp32 ? [] : WeightUses.In(model.Graph), KeepParameters);
        rewrite.ConvertNodes();
        rewrite.ConvertOutputs(KeepParameters);
        rewrite.DropCasts();
        return new PassResult(rewrite.Count);
    }

    public void Ensures(Model model)
    {
        var wrong = model.Graph.Values.Values.FirstOrDefault(v => v.Type is ElementType.Float16 or ElementType.BFloat16 && v.Type != To.Type());
        if (wrong is not null)
        {
            throw new PassException(Name, $"value '{wrong.Name}'", $"no 16-bit float but {To.Type().Name()}", wrong.Type.Name(),
                "This is a defect; please report it.");
        }
    }
}
