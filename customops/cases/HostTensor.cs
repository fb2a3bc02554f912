using Halo.Ir;

namespace Halo.CustomOps.Cases;

/// <summary>Float32 data with sizes, as it goes into ONNX Runtime and comes out.</summary>
public sealed record HostTensor(long[] Sizes, float[] Elements)
{
    public static HostTensor Normal(Random random, params long[] sizes) =>
        new(sizes, [.. Enumerable.Range(0, (int)sizes.Aggregate(1L, (a, b) => a * b)).Select(_ => Normal(random))]);

    public override string ToString() => $"[{string.Join(", ", Sizes)}]";

    private static float Normal(Random random) =>
        (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
}

/// <summary>Rounding to 16-bit types, as a Cast does it.</summary>
public static class Bits
{
    public static float Round(float x, ElementType type) => type switch
    {
        ElementType.BFloat16 => RoundToBFloat16(x),
        ElementType.Float16 => (float)(Half)x,
        _ => x,
    };

    /// <summary>Half-even to the upper 16 bits of a finite float32.</summary>
    private static float RoundToBFloat16(float x)
    {
        var bits = BitConverter.SingleToUInt32Bits(x);
        return BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
    }
}
