using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Tests.Numerics;

/// <summary>||a - b|| / ||b|| in float64, the measure all tolerances are given in.</summary>
public static class RelativeError
{
    public static double Of(ReadOnlySpan<float> found, ReadOnlySpan<float> expected)
    {
        Assert.Equal(expected.Length, found.Length);
        double difference = 0, norm = 0;
        for (var i = 0; i < found.Length; i++)
        {
            difference += Math.Pow((double)found[i] - expected[i], 2);
            norm += Math.Pow(expected[i], 2);
        }
        return norm == 0 ? Math.Sqrt(difference) : Math.Sqrt(difference / norm);
    }

    public static double Of(Tensor found, Tensor expected) =>
        Of(MemoryMarshal.Cast<byte, float>(found.ToBytes()), MemoryMarshal.Cast<byte, float>(expected.ToBytes()));
}
