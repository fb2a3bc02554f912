using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>Which nodes compute the same from the same inputs, every time.</summary>
public static class Purity
{
    private static readonly HashSet<string> Random = new(StringComparer.Ordinal)
    {
        "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout",
    };

    /// <summary>ONNX's operators but the random ones; functions whose bodies are pure; nothing that holds subgraphs.</summary>
    public static bool IsPure(Model model, Node node)
    {
        if (node.Subgraphs.Any())
            return false;
        return node.IsStandard ? !Random.Contains(node.OpType)
            : model.FindFunction(node) is { } function && function.Body.Nodes.All(n => IsPure(model, n));
    }
}
