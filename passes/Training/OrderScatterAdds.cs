using Halo.Building;
using Halo.Ir;
using Halo.Passes.Infra;

namespace Halo.Passes.Training;

/// <summary>Lets rows that are added up by ScatterND, as an embedding's gradient is, be added one after the other by ScatterElements.</summary>
/// <remarks>
/// ONNX Runtime's CPU kernel of ScatterND with a reduction runs its updates in parallel without keeping two threads off one row: where an index
/// occurs twice, updates get lost, others in each run (DECISIONS.md). Its ScatterElements
/// goes through the updates in order. data (V, C), indices (..., 1), updates (..., C) become indices (N, C), updates (N, C) along axis 0.
/// </remarks>
public sealed record OrderScatterAdds() : IGraphPass
{
    /// <summary>ScatterElements reduces from this opset on.</summary>
    private const long MinOpset = 16;

    public string Name => "order-scatter-adds";

    public ValueEffect Effect => new ValueEffect.Exact();

    public PassResult Run(Model model, PassContext context)
    {
        var rewrites = 0;
        foreach (var node in model.Graph.Nodes.Where(n => n.Is("ScatterND") && n.String("reduction", "none") != "none").ToList())
        {
            var (data, indices, updates) = (node.Inputs[0]!, node.Inputs[1]!, node.Inputs[2]!);
            if (data.Shape is not { Rank: 2 } rows || rows[1].Size is not { } columns || indices.Shape is not { Rank: > 0 } shape || shape[-1].Size != 1)
            {
                throw new PassException(Name, node, "reduction", "whole rows of a matrix added by one index each",
                    $"data {data.Shape}, indices {indices.Shape}",
                    "ONNX Runtime loses updates of this node where indices repeat; export the gradient without it.");
            }
            if (model.Opset < MinOpset)
                throw new PassException(Name, node, "reduction", $"opset {MinOpset} or later", $"{model.Opset}", "Run upgrade-opset first.");
            context.Step(node, "add rows in order");
            var build = GraphBuilder.Before(node);
            var column = build.Op("column", "Reshape", [indices, build.Constant("column/shape", Tensor.Int64s(-1, 1))]);
            var spread = build.Op("spread", "Expand", [column, build.Constant("spread/shape", Tensor.Int64s(1, columns))]);
            var flat = build.Op("rows", "Reshape", [updates, build.Constant("rows/shape", Tensor.Int64s(-1, columns))]);
            var sum = build.Op("sum", "ScatterElements", [data, spread, flat], Attribute.Of("axis", 0L), node.Attributes["reduction"]);
            node.Output.ReplaceUsesWith(sum);
            if (node.Output.IsGraphOutput)
                model.Graph.ReplaceOutput(node.Output, sum);
            model.Graph.Remove(node);
            rewrites++;
        }
        return new PassResult(rewrites);
    }
}
