using System.Numerics.Tensors;

namespace Halo.Runner.Generation;

/// <summary>Chooses a token: a function of logits and of one random number.</summary>
internal static class Sampler
{
    /// <param name="logits">Of every token, (V); -infinity where it is impossible.</param>
    /// <param name="settings">How to choose.</param>
    /// <param name="random">Uniform in [0, 1); greedy choice does not look at it.</param>
    /// <returns>The token's id. Of equal logits, the lower id goes first.</returns>
    /// <exception cref="InvalidOperationException">A logit is NaN or +infinity, or none is finite.</exception>
    public static int Pick(ReadOnlySpan<float> logits, SamplingSettings settings, double random)
    {
        var best = Best(logits);
        if (settings.Temperature is not { } temperature)
            return best;
        var ids = settings is { TopK: null, TopP: 1 } ? [.. Enumerable.Range(0, logits.Length)] : Ordered(logits);
        var kept = Math.Min(settings.TopK ?? ids.Length, ids.Length);
        var weights = new double[kept];
        var total = 0.0;
        for (var n = 0; n < kept; n++)
            total += weights[n] = Math.Exp((logits[ids[n]] - (double)logits[best]) / temperature);
        if (settings.TopP < 1)
            (kept, total) = Shortest(weights, settings.TopP * total);
        var target = random * total;
        var chosen = best;
        for (var n = 0; n < kept && target >= 0; n++)
        {
            if (weights[n] > 0)
                chosen = ids[n]; // the last one possible where rounding leaves something of the target
            target -= weights[n];
        }
        return chosen;
    }

    /// <summary>The first of the highest logits.</summary>
    private static int Best(ReadOnlySpan<float> logits)
    {
        if (logits.IsEmpty)
            throw Refused("none");
        var best = TensorPrimitives.IndexOfMax(logits); // of a NaN where there is one
        if (logits[best] == 0)
            best = logits.IndexOf(0f); // 0 and -0 are equal here
        return Checked(best, logits[best]);
    }

    /// <summary>A token, where its logit, the largest, is finite.</summary>
    /// <exception cref="InvalidOperationException">It is not.</exception>
    internal static int Checked(int id, float logit) => float.IsFinite(logit) ? id
        : throw Refused(float.IsNegativeInfinity(logit) ? "no finite one" : $"{logit} for token {id}");

    /// <summary>All ids by falling logit, then by rising id.</summary>
    private static int[] Ordered(ReadOnlySpan<float> logits)
    {
        var keys = new ulong[logits.Length];
        for (var id = 0; id < keys.Length; id++)
        {
            var bits = BitConverter.SingleToUInt32Bits(logits[id] + 0f); // -0 becomes 0
            var rising = (bits & 0x80000000) == 0 ? bits | 0x80000000 : ~bits; // orders as the floats do
            keys[id] = ((ulong)~rising << 32) | (uint)id;
        }
        Array.Sort(keys);
        return Array.ConvertAll(keys, key => (int)(uint)key);
    }

    /// <summary>How many of the first weights reach a sum, and what they sum to.</summary>
    private static (int Count, double Sum) Shortest(double[] weights, double wanted)
    {
        var sum = 0.0;
        for (var n = 0; n < weights.Length; n++)
        {
            sum += weights[n];
            if (sum >= wanted)
                return (n + 1, sum);
        }
        return (weights.Length, sum);
    }

    private static InvalidOperationException Refused(string found) =>
        new($"generate: the logits: expected finite numbers, found {found}. Check the weights: a type too narrow for them, or a damaged file.");
}
