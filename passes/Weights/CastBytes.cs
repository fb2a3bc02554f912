using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Passes.Weights;

/// <summary>A weight in another float type, rounded to nearest even while it is read; a finite value that the type cannot hold is an error.</summary>
/// <param name="pass">Who says so.</param>
/// <param name="name">The weight's name, for the message.</param>
/// <param name="source">Float32, float16, bfloat16 or float64.</param>
/// <param name="type">One of these.</param>
internal sealed class CastBytes(string pass, string name, Tensor source, ElementType type) : ITensorBytes
{
    private const float LargestHalf = 65504;

    public long SizeBytes { get; } = type.SizeBytes(source.ElementCount);

    /// <summary>The tensor itself where it has the type.</summary>
    public static Tensor Cast(string pass, string name, Tensor source, ElementType type) =>
        source.Type == type ? source : new Tensor(type, source.Sizes, new CastBytes(pass, name, source, type));

    public void ReadChunks(ChunkReader chunk)
    {
        var floats = Array.Empty<float>();
        var bytes = Array.Empty<byte>();
        source.ReadChunks(piece =>
        {
            var count = piece.Length / (source.Type.Bits() / 8);
            if (floats.Length < count)
                (floats, bytes) = (new float[count], new byte[type.SizeBytes(count)]);
            var values = floats.AsSpan(0, count);
            var result = bytes.AsSpan(0, (int)type.SizeBytes(count));
            FloatConversions.ToFloat(source.Type, piece, values);
            FloatConversions.FromFloat(type, values, result);
            if (type is ElementType.Float16)
                Check(values, result);
            return chunk(result);
        });
    }

    private void Check(ReadOnlySpan<float> values, ReadOnlySpan<byte> result)
    {
        if (!values.ContainsAnyExceptInRange(-LargestHalf, LargestHalf))
            return;
        var halves = MemoryMarshal.Cast<byte, Half>(result);
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
