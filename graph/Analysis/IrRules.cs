using Halo.Ir;

namespace Halo.Analysis;

/// <summary>What needs which IR version [ONNX IR specification, onnx.proto version history].</summary>
internal static class IrRules
{
    public static void Check(Model model)
    {
        void Need(bool isUsed, long version, string what, Node? node = null)
        {
            if (!isUsed || model.IrVersion >= version)
                return;
            var (expected, found) = ($"IR version {version} or later for {what}", $"{model.IrVersion}");
            throw node is null ? new VerifierException("model", expected, found) : new VerifierException(node, expected, found);
        }

        Need(model.Functions.Count > 0, 8, "functions");
        foreach (var function in model.Functions)
            Need(function.Overload.Length > 0, 10, $"the overload of function {function.Domain}.{function.Name}:{function.Overload}");
        foreach (var value in model.Graph.Inputs.Concat(model.Graph.Initializers))
            Need(true, VersionOf(value.Type), $"{value.Type.Name()} '{value.Name}'");
        foreach (var value in model.Graph.Initializers)
            Need(!value.IsGraphInput, 4, $"initializer '{value.Name}' that is no graph input");
        foreach (var node in Verifier.AllNodes(model.Graph).Concat(model.Functions.SelectMany(f => Verifier.AllNodes(f.Body))))
        {
            Need(node.Overload.Length > 0, 10, $"overload '{node.Overload}'", node);
            foreach (var output in node.Outputs)
                Need(true, VersionOf(output.Type), output.Type.Name(), node);
            foreach (var attribute in node.Attributes.Values)
                Need(attribute.Content is Tensor, attribute.Content is Tensor tensor ? VersionOf(tensor.Type) : 0, $"attribute '{attribute.Name}'", node);
        }
    }

    private static long VersionOf(ElementType type) => type switch
    {
        _ when type.IsFloat8() => 9,
        ElementType.UInt4 or ElementType.Int4 => 10,
        ElementType.Float4E2M1 => 11,
        ElementType.Float8E8M0 => 12,
        ElementType.UInt2 or ElementType.Int2 => 13,
        _ => 0,
    };
}
