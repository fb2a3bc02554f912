namespace Halo.Passes.Export.Inference;

/// <summary>Inputs and outputs of a cache, as ONNX Runtime GenAI names them: <c>past_key_values.0.key</c>, <c>present.0.value</c>.</summary>
internal static class CacheNames
{
    public const string Past = "past_key_values.", Present = "present.";

    /// <summary>The two tensors of a layer.</summary>
    public const string Key = "key", Value = "value";

    public static string PastOf(int layer, string tensor) => $"{Past}{layer}.{tensor}";

    public static string PresentOf(int layer, string tensor) => $"{Present}{layer}.{tensor}";
}
