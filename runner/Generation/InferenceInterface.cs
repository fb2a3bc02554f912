using System.Globalization;

namespace Halo.Runner.Generation;

/// <summary>Names of an inference graph's inputs and outputs, as ONNX Runtime GenAI has them.</summary>
/// <remarks>
/// Inputs: input_ids int64 (B, S), attention_mask int64 (B, P + S), and for each layer past_key_values.N.key and .value (B, H, P, D). Outputs: logits float32
/// (B, S, V), and for each layer present.N.key and .value (B, H, P + S, D). H counts heads of keys and values; P tokens are in the caches, S are read.
/// </remarks>
internal static class InferenceInterface
{
    private const string Past = "past_key_values";
    private const string Present = "present";

    /// <summary>Inputs of the caches: key and value of layer 0, of layer 1 and so on.</summary>
    public static IEnumerable<string> PastNames(int layers) => Names(Past, layers);

    /// <summary>Outputs of the caches, in the same order.</summary>
    public static IEnumerable<string> PresentNames(int layers) => Names(Present, layers);

    /// <summary>The layer whose cache an input is; null for any other name.</summary>
    public static int? LayerOf(string input) => input.Split('.') is [Past, var layer, "key" or "value"]
        && int.TryParse(layer, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private static IEnumerable<string> Names(string prefix, int layers) =>
        Enumerable.Range(0, layers).SelectMany(layer => (string[])[$"{prefix}.{layer}.key", $"{prefix}.{layer}.value"]);
}
