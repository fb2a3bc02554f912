using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>Sees one piece of a weight's values, which it may overwrite; returns false to stop.</summary>
internal delegate bool FloatReader(Span<float> values);

/// <summary>A weight that is computed from another while it is read, in float32, and rounded once, to nearest even, into its type.</summary>
/// <remarks>Weights computed from it read the float32 values. A finite value beyond the type is an error when the weight is read.</remarks>
/// <param name="pass">The pass that makes it, for messages.</param>
/// <param name="name">The weight's name, for messages.</param>
/// <param name="type">Float32, float16, bfloat16 or float64.</param>
/// <param name="elementCount">How many values it has.</param>
internal abstract class WeightBytes(string pass, string name, ElementType type, long elementCount) : ITensorBytes
{
    public long SizeBytes { get; } = type.SizeBytes(elementCount);

    /// <summary>Calls <paramref name="reader"/> with consecutive pieces of the values.</summary>
    public abstract void ReadFloats(FloatReader reader);

    public void ReadChunks(ChunkReader chunk)
    {
        var bytes = Array.Empty<byte>();
        ReadFloats(values =>
        {
            if (type is ElementType.Float)
                return chunk(MemoryMarshal.AsBytes(values));
            var size = (int)type.SizeBytes(values.Length);
            if (bytes.Length < size)
                bytes = new byte[size];
            if (FloatConversions.FirstBeyond(type, values) is { } value)
            {
                throw new HaloException(pass, $"tensor '{name}'", $"values that {type.Name()} holds", $"{value:g7}",
                    "Hold the weights in a type of larger range, bf16 or fp32.");
            }
            FloatConversions.FromFloat(type, values, bytes.AsSpan(0, size));
            return chunk(bytes.AsSpan(0, size));
        });
    }
}

/// <summary>A weight in another float type.</summary>
internal sealed class CastBytes(string pass, string name, Tensor source, ElementType type) : WeightBytes(pass, name, type, source.ElementCount)
{
    /// <summary>The tensor itself where it has the type.</summary>
    public static Tensor Cast(string pass, string name, Tensor source, ElementType type) =>
        source.Type == type ? source : new Tensor(type, source.Sizes, new CastBytes(pass, name, source, type));

    public override void ReadFloats(FloatReader reader) => WeightReader.Floats(source, reader);
}
