using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Passes.Weights;

/// <summary>Sees one piece of a weight's values, which it may overwrite; returns false to stop.</summary>
internal delegate bool FloatReader(Span<float> values);

/// <summary>A weight that is computed from another while it is read, in float32, and rounded once, to nearest even, into its type.</summary>
/// <remarks>Weights computed from it read the float32 values. A finite value that float16 cannot hold is an error when the weight is read.</remarks>
/// <param name="pass">The pass that makes it, for messages.</param>
/// <param name="name">The weight's name, for messages.</param>
/// <param name="type">Float32, float16, bfloat16 or float64.</param>
/// <param name="elementCount">How many values it has.</param>
internal abstract class WeightBytes(string pass, string name, ElementType type, long elementCount) : ITensorBytes
{
    private const float LargestHalf = 65504;

    public long SizeBytes { get; } = type.SizeBytes(elementCount);

    protected string Pass => pass;

    protected string WeightName => name;

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
            FloatConversions.FromFloat(type, values, bytes.AsSpan(0, size));
            if (type is ElementType.Float16)
                Check(values, MemoryMarshal.Cast<byte, Half>(bytes.AsSpan(0, size)));
            return chunk(bytes.AsSpan(0, size));
        });
    }

    private void Check(ReadOnlySpan<float> values, ReadOnlySpan<Half> halves)
    {
        if (!values.ContainsAnyExceptInRange(-LargestHalf, LargestHalf))
            return;
        for (var i = 0; i < values.Length; i++)
        {
            if (Half.IsInfinity(halves[i]) && float.IsFinite(values[i]))
            {
                throw new HaloException(pass, $"tensor '{name}'", $"values that float16 holds, up to {LargestHalf}", $"{values[i]:g7}",
                    "Hold the weights in bf16 or fp32.");
            }
        }
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
