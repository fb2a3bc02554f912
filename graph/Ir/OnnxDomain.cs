namespace Halo.Ir;

/// <summary>The domain of ONNX's own operators, which files spell in two ways and the graph in one: "".</summary>
internal static class OnnxDomain
{
    private const string Alias = "ai.onnx";

    /// <summary>A domain as nodes, functions and operator sets have it.</summary>
    public static string Normalized(string domain) => domain == Alias ? "" : domain;
}
