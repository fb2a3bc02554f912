using System.Numerics;

namespace Halo.CustomOps;

/// <summary>Orthonormal Hadamard matrices H_n = n^(-1/2) (A_K (x) S_(2^k)), n = K 2^k: A_K a matrix of +-1, S Sylvester's.</summary>
/// <remarks>
/// A vector v along a rotated axis becomes H^T v, and H v undoes it. Along the last axis that is Y = X H, along axis 0 Y = H^T X.
/// Which A_K is used does not matter as long as every reader of a rotated tensor uses the same: H cancels inside a layer.
/// </remarks>
public static class Hadamard
{
    /// <summary>Orders above this are refused as A_K: the matrix would be a large dense constant.</summary>
    public const long MaxOrder = 1024;

    /// <summary>The orders of HALO's reference implementation, in the order it tries them; 1 stands for Sylvester alone.</summary>
    private static readonly int[] ReferenceOrders = [1, 172, 156, 140, 108, 100, 60, 52, 36, 28, 40, 20, 12, 44];

    public static bool IsConstructible(long n) => FindOrder(n) > 0;

    /// <summary>K and k of n = K 2^k: the reference's K where it has one, else the smallest that can be constructed.</summary>
    /// <exception cref="HaloException">No Hadamard matrix of this size is known here.</exception>
    public static (int K, int Log2) Order(long n)
    {
        var order = FindOrder(n);
        return order > 0
            ? (order, BitOperations.Log2((ulong)(n / order)))
            : throw new HaloException("hadamard", $"size {n}", "a size with a known Hadamard matrix", "none",
                "Rotate by the blocks that Hadamard.Blocks gives.");
    }

    /// <summary>Blocks of a block-diagonal rotation: <paramref name="n"/> itself where a matrix exists, else falling sizes that sum to it.</summary>
    /// <param name="n">The size to cover.</param>
    /// <param name="maxBlock">No block is larger.</param>
    public static long[] Blocks(long n, long maxBlock = long.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(n, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBlock, 1);
        var blocks = new List<long>();
        for (var block = Math.Min(n, maxBlock); n > 0; n -= block)
        {
            block = Math.Min(block, n);
            while (!IsConstructible(block)) // ends at 1
                block--;
            blocks.Add(block);
        }
        return [.. blocks];
    }

    /// <summary>H_n in float64, element by element from its definition.</summary>
    public static double[,] Dense(long n)
    {
        var (order, log2) = Order(n);
        var signs = HadamardConstructions.Signs(order);
        var scale = 1 / Math.Sqrt(n);
        var result = new double[n, n];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
                result[i, j] = scale * signs[i >> log2, j >> log2] * Sylvester(i & ((1 << log2) - 1), j & ((1 << log2) - 1));
        }
        return result;
    }

    /// <summary>The block-diagonal rotation of <paramref name="blocks"/> in float64.</summary>
    public static double[,] Dense(ReadOnlySpan<long> blocks)
    {
        if (blocks.Length == 1)
            return Dense(blocks[0]);
        var n = 0L;
        foreach (var block in blocks)
            n += block;
        var result = new double[n, n];
        var start = 0L;
        foreach (var block in blocks)
        {
            var dense = Dense(block);
            for (var i = 0; i < block; i++)
            {
                for (var j = 0; j < block; j++)
                    result[start + i, start + j] = dense[i, j];
            }
            start += block;
        }
        return result;
    }

    /// <summary>n1 = K 2^a and n2 = 2^b with H_n = H_n1 (x) H_n2 and n1 + n2, the cost per element, as small as it can be.</summary>
    public static (long N1, long N2) Factors(long n)
    {
        var (order, log2) = Order(n);
        return Enumerable.Range(0, log2 + 1).Select(b => (N1: (long)order << (log2 - b), N2: 1L << b)).MinBy(f => f.N1 + f.N2);
    }

    private static int Sylvester(int i, int j) => BitOperations.PopCount((uint)(i & j)) % 2 == 0 ? 1 : -1;

    private static int FindOrder(long n)
    {
        if (n < 1)
            return 0;
        foreach (var order in ReferenceOrders)
        {
            if (n % order == 0 && BitOperations.IsPow2(n / order))
                return order;
        }
        for (var order = n >> BitOperations.TrailingZeroCount(n) << 2; order <= MaxOrder && n % order == 0; order <<= 1)
        {
            if (HadamardConstructions.HasPaley((int)order))
                return (int)order;
        }
        return 0;
    }
}
