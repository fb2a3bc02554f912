using Halo.Ir;
using Halo.Operators;

namespace Halo.Passes.Infra;

/// <summary>Which nodes compute the same from the same inputs, every time.</summary>
internal static class Purity
{
    /// <summary>ONNX's operators but the random ones; functions whose bodies are pure; nothing that holds subgraphs.</summary>
    public static bool IsPure(Model model, Node node)
    {
        if (node.Subgraphs.Any() || node.Facts is { IsRandom: true } or { Role: OperatorRole.Collective })
            return false;
        return node.IsStandard
            || (model.FindFunction(node) is { } function && function.Body.Nodes.All(n => IsPure(model, n)));
    }
}
