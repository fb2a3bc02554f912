using Halo.Ir;
using Halo.Passes.Cleanup.Repairs;
using Halo.Passes.Infra;

namespace Halo.Passes.Cleanup;

/// <summary>Writes differently what ONNX allows and ONNX Runtime refuses.</summary>
/// <remarks>Each repair is one entry of <see cref="Rules"/>, with the runtime's reason; a repaired node matches no longer.</remarks>
public sealed record Repair() : IGraphPass
{
    /// <summary>All repairs, in the order in which they are tried on each node.</summary>
    private static readonly IReadOnlyList<RepairRule> Rules = [RotaryCaches.Rule, NarrowScatters.Rule];

    public string Name => "repair";

    /// <summary>Sums that were taken in 16 bits are taken in float32; everything else keeps its bits.</summary>
    public ValueEffect Effect => new ValueEffect.Reassociating(1e-2);

    public PassResult Run(Model model, PassContext context)
    {
        Analysis.ShapeInference.Run(model.Graph);
        var rewrites = 0;
        foreach (var rule in Rules)
        {
            var repair = rule.On(model);
            foreach (var node in model.Graph.Nodes.Where(n => n.Is(rule.OpType)).ToList())
            {
                if (!repair(node))
                    continue;
                context.Step(node, rule.Reason);
                rewrites++;
            }
        }
        return new PassResult(rewrites);
    }
}
