using Halo.Ir;

namespace Halo.Passes.Canonical.Precision;

/// <summary>A float tensor in another float type, converted while it is read, so that weights of any size pass.</summary>
/// <remarks>
/// Rounds to nearest even. What is finite stays finite: the -3.4e38 of a causal mask, beyond the range of the narrower type, becomes that type's lowest
/// number, since -inf in all of a row is NaN behind its softmax.
/// </remarks>
internal sealed class ConvertedBytes(Tensor source, ElementType type) : ITensorBytes
{
    private const float LargestHalf = 65504, LargestBFloat16 = 3.3895314e38f;

    public long SizeBytes { get; } = type.SizeBytes(source.ElementCount);

    public static Tensor Convert(Tensor source, ElementType type) => new(type, source.Sizes, new ConvertedBytes(source, type));

    public void ReadChunks(ChunkReader chunk)
    {
        var limit = type switch { ElementType.Float16 => LargestHalf, ElementType.BFloat16 => LargestBFloat16, _ => float.PositiveInfinity };
        var floats = Array.Empty<float>();
        var bytes = Array.Empty<byte>();
        source.ReadChunks(piece =>
        {
            var count = piece.Length / (source.Type.Bits() / 8);
            if (floats.Length < count)
                (floats, bytes) = (new float[count], new byte[type.SizeBytes(count)]);
            var values = floats.AsSpan(0, count);
            FloatConversions.ToFloat(source.Type, piece, values);
            for (var i = 0; i < count; i++)
            {
                if (float.IsFinite(values[i]))
                    values[i] = Math.Clamp(values[i], -limit, limit);
            }
            var result = bytes.AsSpan(0, (int)type.SizeBytes(count));
            FloatConversions.FromFloat(type, values, result);
            return chunk(result);
        });
    }
}
