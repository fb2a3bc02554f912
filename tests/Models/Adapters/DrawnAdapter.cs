using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Tests.Numerics;

namespace Halo.Tests.Models.Adapters;

/// <summary>Adapters of drawn values, none of them zero, over a base.</summary>
internal static class DrawnAdapter
{
    /// <summary>Writes a folder as PEFT would; m is near the lengths of the rows, as training leaves it.</summary>
    public static void Write(string folder, AdapterConfig config, string weights)
    {
        using var checkpoint = CheckpointReader.Open(weights);
        var random = new Random(1);
        var layers = AdapterLayers.Of(config, checkpoint);
        var places = layers.Layers.Where(l => l.Sparse > 0).Select(l => new SafetensorsSource(AdapterNames.Places(l.Module), ElementType.Int64, [l.Sparse],
            MemoryMarshal.AsBytes(Enumerable.Range(0, (int)l.Sparse).Select(i => (long)i * l.Weight.ElementCount!.Value / l.Sparse).ToArray().AsSpan()).ToArray()));
        AdapterFolder.Write(folder, config, layers.Parameters.Select(p =>
        {
            var values = new float[p.Shape.ElementCount!.Value];
            for (var i = 0; i < values.Length; i++)
                values[i] = (float)(0.1 * random.NextNormal());
            if (p.Name.Contains("magnitude", StringComparison.Ordinal))
                values = [.. values.Zip(Lengths(checkpoint, p.Name), (change, length) => length * (1 + change))];
            else if (!AdapterNames.IsFactor(p.Name) && !p.Name.Contains("rosa", StringComparison.Ordinal))
                values = [.. values.Zip(checkpoint.ReadFloats(p.Name[AdapterNames.Prefix.Length..]), (change, value) => value + change)];
            return SafetensorsSource.From(p.Name, ElementType.Float, p.Shape.Sizes, values);
        }).Concat(places), baseDigest: null);
    }

    private static IEnumerable<float> Lengths(CheckpointReader checkpoint, string name)
    {
        var weight = checkpoint[name[AdapterNames.Prefix.Length..].Replace(".lora_magnitude_vector", "", StringComparison.Ordinal)];
        return weight.ReadFloats().Chunk((int)weight.Shape[1]).Select(row => MathF.Sqrt(row.Sum(v => v * v)));
    }
}
