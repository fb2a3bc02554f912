using System.Buffers;
using System.Collections.Concurrent;
using System.Numerics.Tensors;
using Halo.Ir;

namespace Halo.Models.Weights;

/// <summary>Values behind one another, of which the first has a place.</summary>
internal delegate void FloatPart(long first, ReadOnlySpan<float> values);

/// <summary>Finds NaN and infinity in weights.</summary>
internal static class FiniteValues
{
    private const int PartElements = 1 << 18;

    /// <summary>Throws where a float tensor has a value that is not finite; others are not looked at.</summary>
    /// <param name="path">What messages call the checkpoint.</param>
    /// <param name="tensors">Are read as a whole.</param>
    /// <exception cref="HaloException">Names tensor, value and element.</exception>
    public static void Check(string path, IEnumerable<SafetensorsTensor> tensors)
    {
        foreach (var tensor in tensors.Where(t => t.DType is ElementType.Float or ElementType.Float16 or ElementType.BFloat16 or ElementType.Double))
            Read(path, tensor.Name, tensor, 0, tensor.ElementCount);
    }

    /// <summary>Reads some of a float tensor's values in parts, which all cores share.</summary>
    /// <param name="path">What messages call the checkpoint.</param>
    /// <param name="name">What they call the tensor.</param>
    /// <param name="tensor">Of floating point.</param>
    /// <param name="first">Its first element that is read.</param>
    /// <param name="count">How many are.</param>
    /// <param name="take">Takes each part, in any order; null: they are only looked at.</param>
    /// <exception cref="HaloException">One is not finite: the first one.</exception>
    public static void Read(string path, string name, SafetensorsTensor tensor, long first, long count, FloatPart? take = null)
    {
        var size = tensor.DType.Bits() / 8;
        var found = new ConcurrentDictionary<long, HaloException>();
        Parallel.For(0, (count + PartElements - 1) / PartElements, (part, loop) =>
        {
            var at = part * PartElements;
            var length = (int)Math.Min(PartElements, count - at);
            var pooled = ArrayPool<float>.Shared.Rent(PartElements);
            try
            {
                var values = pooled.AsSpan(0, length);
                FloatConversions.ToFloat(tensor.DType, tensor.Slice((first + at) * size, length * size), values);
                Check(path, name, values, first + at);
                take?.Invoke(at, values);
            }
            catch (HaloException e)
            {
                found[part] = e;
                loop.Break(); // parts in front are still looked at
            }
            finally
            {
                ArrayPool<float>.Shared.Return(pooled);
            }
        });
        if (!found.IsEmpty)
            throw found.MinBy(entry => entry.Key).Value;
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
