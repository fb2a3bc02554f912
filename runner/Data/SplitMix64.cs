namespace Halo.Runner.Data;

/// <summary>The SplitMix64 generator, whose sequence is part of this program's contract: the same seed gives the same batches for ever.</summary>
/// <remarks>
/// Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants as in Vigna's splitmix64.c. Of
/// <see cref="Random"/> neither the algorithm nor the sequence is promised between versions of .NET.
/// </remarks>
internal struct SplitMix64
{
    private const ulong Increment = 0x9E3779B97F4A7C15;
    private ulong _state;

    public SplitMix64(ulong seed) => _state = seed;

    /// <summary>An independent stream of <paramref name="seed"/>: the state is Mix(Mix(seed + c) + (stream + 1) c), c being the increment.</summary>
    public static SplitMix64 Stream(ulong seed, ulong stream) => new(Mix(Mix(seed + Increment) + (stream + 1) * Increment));

    public ulong Next() => Mix(_state += Increment);

    /// <summary>Uniform in [0, bound), without bias: draws below 2^64 mod bound are refused.</summary>
    public ulong Below(ulong bound)
    {
        var refused = (0 - bound) % bound;
        ulong draw;
        do draw = Next(); while (draw < refused);
        return draw % bound;
    }

    /// <summary>Uniform in [0, 1): the upper 53 bits of a draw over 2^53.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1L << 53));

    /// <summary>The numbers 0..count-1 in an order drawn by Fisher and Yates: from the last place down, each swapped with one at or before it.</summary>
    public int[] Permutation(int count)
    {
        var order = Enumerable.Range(0, count).ToArray();
        for (var i = count - 1; i > 0; i--)
        {
            var j = (int)Below((ulong)i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }
        return order;
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
