using System.Globalization;
using Halo.CustomOps;
using Halo.Runner.Sessions;

namespace Halo.Tests.CustomOps;

/// <summary>Constants that stand in C# and in C++: the native library says its own.</summary>
public class NativeConstantsTests
{
    private static readonly ILookup<string, string[]> Native = NativeOperators.Constants().ToLookup(fields => fields[0], fields => fields[1..]);

    [Fact]
    public void Formats_have_the_same_largest_code() =>
        Assert.Equal(NumberFormat.All.Select(format => (format.Name, format.QMax.ToString(CultureInfo.InvariantCulture))).Order(),
            Native["format"].Select(fields => (fields[0], fields[1])).Order());

    [Fact]
    public void Products_take_the_work_memory_that_messages_count() => Assert.Equal($"{GpuShortage.ProductWork}", Native["product-workspace"].Single()[0]);

    /// <summary>Every size up to the largest order: where there is a matrix, its K and k, and each sign of every A_K.</summary>
    [Fact]
    public void Hadamard_matrices_are_the_same()
    {
        var expected = new List<string>();
        for (var n = 1; n <= Hadamard.MaxOrder; n++)
        {
            if (!Hadamard.IsConstructible(n))
                continue;
            var (order, log2) = Hadamard.Order(n);
            expected.Add($"{n} {order} {log2} {(log2 == 0 ? $"{Digest(HadamardConstructions.Signs(order))}" : "")}");
        }
        Assert.Equal(expected, Native["hadamard"].Select(fields => string.Join(' ', fields)));
    }

    /// <summary>FNV-1a over the signs, row by row.</summary>
    private static ulong Digest(sbyte[,] signs)
    {
        var hash = 0xCBF29CE484222325;
        foreach (var sign in signs)
            hash = (hash ^ (sign > 0 ? 1u : 0u)) * 0x100000001B3;
        return hash;
    }
}
