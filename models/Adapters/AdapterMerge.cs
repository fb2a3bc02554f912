using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Halo.Analysis;
using Halo.Ir;
using Halo.Models.Weights;

using Tensor = Halo.Ir.Tensor;

namespace Halo.Models.Adapters;

/// <summary>The weights of a base with an adapter merged into them, in float32; each is computed when it is looked at.</summary>
/// <remarks>
/// W' = W + s B A, with RoSA + S; with DoRA the rows of that over their lengths, times m. Modules that were trained as a whole take the place of the base's. Sums over the
/// rank are float32, as PEFT's are.
/// </remarks>
public static class AdapterMerge
{
    /// <summary>The tensors of a base, those that the adapter changes in float32.</summary>
    /// <param name="weights">The base; stays open as long as the result is used.</param>
    /// <param name="adapted">The layers that the adapter changes.</param>
    /// <param name="adapter">The adapter's parameters under the names that graphs have; stay open likewise.</param>
    public static IReadOnlyDictionary<string, Tensor> Of(
        CheckpointReader weights, AdapterLayers adapted, IReadOnlyDictionary<string, SafetensorsTensor> adapter)
    {
        var layers = adapted.Layers.ToDictionary(l => l.Module + ".weight", StringComparer.Ordinal);
        var merged = new OrderedDictionary<string, Tensor>();
        foreach (var (name, tensor) in weights.Tensors)
        {
            if (layers.TryGetValue(name, out var layer))
                merged.Add(name, new Tensor(ElementType.Float, tensor.Shape, new MergedBytes(tensor.ElementCount, () => Merged(layer, tensor, adapter))));
            else if (adapter.TryGetValue(AdapterNames.Saved(name), out var saved))
                merged.Add(name, new Tensor(saved.DType, saved.Shape, saved));
            else
                merged.Add(name, new Tensor(tensor.DType, tensor.Shape, tensor));
        }
        return merged;
    }

    /// <summary>W' (out, in), row-major.</summary>
    public static float[] Merged(AdapterLayer layer, SafetensorsTensor weight, IReadOnlyDictionary<string, SafetensorsTensor> adapter)
    {
        var (w, a, b) = (weight.ReadFloats(), Read(AdapterNames.A(layer.Module)), Read(AdapterNames.B(layer.Module)));
        var (rows, columns, rank, scale) = ((int)layer.Weight.Sizes[0], (int)layer.Weight.Sizes[1], layer.Rank, (float)layer.Scale);
        var lengths = layer.Dora ? Read(AdapterNames.Magnitude(layer.Module)) : null;
        Parallel.For(0, rows, row =>
        {
            var target = w.AsSpan(row * columns, columns);
            var change = new float[columns];
            for (var k = 0; k < rank; k++)
                TensorPrimitives.MultiplyAdd(a.AsSpan(k * columns, columns), b[(row * rank) + k], change, change);
            TensorPrimitives.MultiplyAdd(change, scale, target, target);
            if (lengths is not null)
                TensorPrimitives.Multiply(target, lengths[row] / TensorPrimitives.Norm<float>(target), target);
        });
        if (layer.Sparse > 0)
        {
            var places = MemoryMarshal.Cast<byte, long>(adapter[AdapterNames.Places(layer.Module)].Bytes());
            var elements = Read(AdapterNames.Elements(layer.Module));
            for (var i = 0; i < elements.Length; i++)
                w[places[i]] += elements[i];
        }
        return w;

        float[] Read(string name) => adapter[name].ReadFloats();
    }

    /// <summary>Floats that are computed when they are read, and not kept.</summary>
    private sealed class MergedBytes(long elements, Func<float[]> compute) : ITensorBytes
    {
        public long SizeBytes => elements * sizeof(float);

        public void ReadChunks(ChunkReader chunk)
        {
            const int Step = 1 << 18;
            var values = compute();
            for (var at = 0; at < values.Length; at += Step)
            {
                if (!chunk(MemoryMarshal.AsBytes(values.AsSpan(at, Math.Min(Step, values.Length - at)))))
                    return;
            }
        }
    }
}
