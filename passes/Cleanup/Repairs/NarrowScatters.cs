using Halo.Analysis;
using Halo.Building;
using Halo.Ir;

namespace Halo.Passes.Cleanup.Repairs;

/// <summary>ScatterElements that adds up 16-bit floats, as the gradient of an embedding does: the sums are taken in float32, and rounded once.</summary>
internal static class NarrowScatters
{
    public static RepairRule Rule { get; } = new("ScatterElements", "ONNX Runtime 1.31 has no reduction of 16-bit floats on the CPU",
        model => node => Widen(model.Graph, node));

    private static bool Widen(Graph graph, Node node)
    {
        var type = node.Inputs[0]!.Type;
        if (node.String("reduction", "none") == "none" || type is not (ElementType.Float16 or ElementType.BFloat16))
            return false;
        var build = GraphBuilder.Before(node);
        node.ReplaceInput(0, build.Op("data", "Cast", [node.Inputs[0]], Attribute.Of("to", (long)ElementType.Float)));
        node.ReplaceInput(2, build.Op("updates", "Cast", [node.Inputs[2]], Attribute.Of("to", (long)ElementType.Float)));
        ShapeInference.Infer(node);
        var rounded = GraphBuilder.After(node).Op("rounded", "Cast", [node.Output], Attribute.Of("to", (long)type));
        node.Output.ReplaceUsesWith(rounded, rounded.Producer!);
        if (node.Output.IsGraphOutput)
            graph.ReplaceOutput(node.Output, rounded);
        return true;
    }
}
