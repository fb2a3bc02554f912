using System.Buffers;
using Halo.Ir;

namespace Halo.Passes.Export.Weights;

/// <summary>Reads weights as float32 values, piece by piece.</summary>
internal static class WeightReader
{
    /// <summary>Values of a piece of whole rows, unless one unit has more: 4 MiB.</summary>
    public const int PieceElements = 1 << 20;

    private static WeakReference<float[]>? _large;

    /// <summary>Pieces as they come from the source. What is computed in float32 is not rounded in between.</summary>
    public static void Floats(Tensor source, FloatReader reader)
    {
        if (source.Content is WeightBytes computed)
        {
            computed.ReadFloats(reader);
            return;
        }
        var floats = Array.Empty<float>();
        var elementBytes = source.Type.Bits() / 8;
        source.ReadChunks(bytes =>
        {
            var count = bytes.Length / elementBytes;
            if (floats.Length < count)
                floats = new float[count];
            FloatConversions.ToFloat(source.Type, bytes, floats.AsSpan(0, count));
            return reader(floats.AsSpan(0, count));
        });
    }

    /// <summary>All values of a small weight, such as a norm's gain.</summary>
    public static float[] All(Tensor source)
    {
        var result = new float[checked((int)source.ElementCount)];
        var at = 0;
        Floats(source, values =>
        {
            values.CopyTo(result.AsSpan(at));
            at += values.Length;
            return true;
        });
        return result;
    }

    /// <summary>Pieces of whole units, in one buffer that is used again; the reader may overwrite them.</summary>
    /// <param name="source">The weight.</param>
    /// <param name="unit">Values that belong together, such as one row; a divisor of their number, below 2^31.</param>
    /// <param name="reader">Takes each piece.</param>
    public static void Units(Tensor source, long unit, Func<Memory<float>, bool> reader)
    {
        var size = checked((int)unit);
        var length = (int)Math.Min(source.ElementCount, Math.Max(size, PieceElements / size * (long)size));
        var buffer = length > PieceElements ? TakeLarge(length) : ArrayPool<float>.Shared.Rent(length);
        try
        {
            Units(source, buffer.AsMemory(0, length), reader);
        }
        finally
        {
            if (length > PieceElements)
                _large = new WeakReference<float[]>(buffer);
            else
                ArrayPool<float>.Shared.Return(buffer);
        }
    }

    /// <summary>The memory of the last large weight, which saves fresh pages, if it is still there and large enough.</summary>
    private static float[] TakeLarge(int length) =>
        Interlocked.Exchange(ref _large, null) is { } last && last.TryGetTarget(out var buffer) && buffer.Length >= length
            ? buffer : GC.AllocateUninitializedArray<float>(length);

    private static void Units(Tensor source, Memory<float> buffer, Func<Memory<float>, bool> reader)
    {
        var filled = 0;
        var isOpen = true;
        Floats(source, values =>
        {
            while (isOpen && values.Length > 0)
            {
                var part = values[..Math.Min(values.Length, buffer.Length - filled)];
                part.CopyTo(buffer.Span[filled..]);
                values = values[part.Length..];
                filled += part.Length;
                if (filled < buffer.Length)
                    break;
                filled = 0;
                isOpen = reader(buffer);
            }
            return isOpen;
        });
        if (isOpen && filled > 0)
            reader(buffer[..filled]);
    }
}
