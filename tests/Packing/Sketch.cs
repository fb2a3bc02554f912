using System.Numerics;
using Halo.Ir;
using Halo.Models.Weights;

namespace Halo.Tests.Packing;

/// <summary>A tensor in 17 numbers: its norm, and its products with 16 rows of signs, which tell how far another tensor is from it.</summary>
/// <remarks>
/// Each product of a difference with random signs has its squared norm as expected square, so that the root of their mean is that norm within a third.
/// [Johnson and Lindenstrauss 1984; signs: Achlioptas 2003, 1.1]
/// </remarks>
internal static class Sketch
{
    private const int Rows = 16;

    /// <summary>The norm, then the products.</summary>
    public static float[] Of(ReadOnlySpan<float> values)
    {
        Span<double> sums = stackalloc double[Rows];
        var squares = 0.0;
        for (var i = 0; i < values.Length; i++)
        {
            squares += (double)values[i] * values[i];
            var signs = Signs((ulong)i);
            for (var row = 0; row < Rows; row++)
                sums[row] += (signs >> row & 1) == 0 ? values[i] : -(double)values[i];
        }
        return [(float)Math.Sqrt(squares), .. sums.ToArray().Select(s => (float)s)];
    }

    /// <summary>About ||found - kept|| / ||kept||.</summary>
    public static double Error(ReadOnlySpan<float> found, float[] kept)
    {
        var sum = Of(found).Skip(1).Zip(kept.Skip(1), (a, b) => Math.Pow((double)a - b, 2)).Sum();
        return Math.Sqrt(sum / Rows) / (kept[0] == 0 ? 1 : kept[0]);
    }

    /// <summary>In a file of expected values, sketches take the places of logits and gradients.</summary>
    public static void Reduce(string path)
    {
        List<SafetensorsSource> kept = [];
        using (var file = SafetensorsFile.Open(path))
        {
            foreach (var tensor in file.Tensors.Values)
            {
                if (tensor.Name != "logits" && !tensor.Name.StartsWith("grad.", StringComparison.Ordinal))
                    kept.Add(new(tensor.Name, tensor.DType, [.. tensor.Shape], tensor.Bytes().ToArray()));
                else
                    kept.Add(SafetensorsSource.From(tensor.Name, ElementType.Float, [Rows + 1], Of(tensor.ReadFloats())));
            }
        }
        SafetensorsWriter.Write(path, kept);
    }

    /// <summary>Bits of a number, mixed. [Steele et al. 2014, SplitMix64]</summary>
    private static ulong Signs(ulong i)
    {
        var z = (i + 1) * 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return BitOperations.RotateLeft(z ^ (z >> 31), 17);
    }
}
