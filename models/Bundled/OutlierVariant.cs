using System.Text.Json;
using Halo.Ir;
using Halo.Models.Weights;

namespace Halo.Models.Bundled;

/// <summary>The tiny-outliers variant of the bundled model: the same function, with the outlier channels that large models have.</summary>
/// <remarks>
/// By <c>outliers.json</c>, per layer: channels of each RMSNorm weight are multiplied by a factor and the matching input columns of the linear
/// layers behind it divided by it; rows of up_proj likewise, undone in the columns of down_proj. Logits do not change.
/// </remarks>
internal static class OutlierVariant
{
    /// <summary>Writes the variant's weights in float32, which the factor needs: divided by it, bfloat16 would round.</summary>
    /// <exception cref="HaloException">The bundled model is not there, or the file cannot be written.</exception>
    public static void Write(string path)
    {
        using var checkpoint = CheckpointReader.Open(LlamaTiny.Folder);
        using var outliers = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(LlamaTiny.Folder, "outliers.json")));
        var factor = outliers.RootElement.GetProperty("scale").GetSingle();
        var tensors = checkpoint.Tensors.ToDictionary(t => t.Key, t => (Shape: t.Value.Shape, Values: t.Value.ReadFloats()), StringComparer.Ordinal);
        var layer = 0;
        foreach (var channels in outliers.RootElement.GetProperty("layers").EnumerateArray())
        {
            var prefix = $"model.layers.{layer++}.";
            foreach (var channel in Channels("input_layernorm"))
            {
                Scale("input_layernorm", 0, channel, factor);
                foreach (var name in new[] { "q_proj", "k_proj", "v_proj" })
                    Scale($"self_attn.{name}", 1, channel, 1 / factor);
            }
            foreach (var channel in Channels("post_attention_layernorm"))
            {
                Scale("post_attention_layernorm", 0, channel, factor);
                foreach (var name in new[] { "gate_proj", "up_proj" })
                    Scale($"mlp.{name}", 1, channel, 1 / factor);
            }
            foreach (var channel in Channels("up_proj"))
            {
                Scale("mlp.up_proj", 0, channel, factor);
                Scale("mlp.down_proj", 1, channel, 1 / factor);
            }

            IEnumerable<int> Channels(string name) => channels.GetProperty(name).EnumerateArray().Select(c => c.GetInt32());

            void Scale(string module, int axis, int index, float by)
            {
                var (shape, values) = tensors[$"{prefix}{module}.weight"];
                var columns = shape.Count == 2 ? (int)shape[1] : 1;
                for (var i = 0; i < values.Length; i++)
                {
                    if ((axis == 0 ? i / columns : i % columns) == index)
                        values[i] *= by;
                }
            }
        }
        SafetensorsWriter.Write(path, [.. tensors.OrderBy(t => t.Key, StringComparer.Ordinal)
            .Select(t => SafetensorsSource.From(t.Key, ElementType.Float, t.Value.Shape, t.Value.Values))]);
    }
}
