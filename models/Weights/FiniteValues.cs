using System.Numerics.Tensors;
using Halo.Ir;

namespace Halo.Models.Weights;

/// <summary>Finds NaN and infinity in weights.</summary>
public static class FiniteValues
{
    private const int PartElements = 1 << 18;

    /// <summary>Throws where a float tensor has a value that is not finite; others are not looked at.</summary>
    /// <param name="path">What messages call the checkpoint.</param>
    /// <param name="tensors">Are read as a whole.</param>
    /// <exception cref="HaloException">Names tensor, value and element.</exception>
    public static void Check(string path, IEnumerable<SafetensorsTensor> tensors)
    {
        var values = new float[PartElements];
        foreach (var tensor in tensors.Where(t => t.DType is ElementType.Float or ElementType.Float16 or ElementType.BFloat16 or ElementType.Double))
        {
            var size = tensor.DType.Bits() / 8;
            for (var at = 0L; at < tensor.ElementCount; at += PartElements)
            {
                var part = values.AsSpan(0, (int)Math.Min(PartElements, tensor.ElementCount - at));
                FloatConversions.ToFloat(tensor.DType, tensor.Slice(at * size, part.Length * size), part);
                Check(path, tensor.Name, part, at);
            }
        }
    }

    /// <summary>Throws where one of a tensor's values, of which the first is element <paramref name="first"/>, is not finite.</summary>
    /// <exception cref="HaloException">Names tensor, value and element.</exception>
    public static void Check(string path, string name, ReadOnlySpan<float> values, long first)
    {
        if (!values.IsEmpty && !float.IsFinite(TensorPrimitives.MaxMagnitude(values))) // NaN where one is
            throw Found(path, name, values, first);
    }

    private static HaloException Found(string path, string name, ReadOnlySpan<float> part, long first)
    {
        var at = 0;
        while (float.IsFinite(part[at]))
            at++;
        return new HaloException("load-parameters", $"{path}: '{name}'", "finite values", $"{part[at]} at element {first + at}",
            "The model was broken before it was saved: take an earlier checkpoint.");
    }
}
