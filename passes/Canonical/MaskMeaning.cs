using System.Runtime.InteropServices;
using Halo.Ir;

namespace Halo.Passes.Canonical;

/// <summary>A part of a mask: numbers added to the scores, or booleans that show or hide keys.</summary>
/// <param name="Value">Broadcasts to (B, H, T, S).</param>
/// <param name="Hides">Booleans are true where a key is hidden, not where it is seen.</param>
internal sealed record MaskPart(Value Value, bool Hides);

/// <summary>Which keys a query sees, in the terms of <see cref="CustomOps.Attention"/>.</summary>
/// <param name="Causal">None behind its own place.</param>
/// <param name="Window">Where causal, none this many places before its own or farther; 0: no such limit.</param>
/// <param name="Padding">None for which this integer or boolean graph input (B, S) is 0; null: padding is not looked at.</param>
internal sealed record MaskMeaning(bool Causal, int Window, Value? Padding)
{
    /// <summary>Scores this low vanish in a softmax, whatever the others are: float16 goes down to -65504.</summary>
    private const float Hidden = -1e4f;

    /// <summary>Finds out what a mask means by computing it for several paddings: none, at either end, and at random places.</summary>
    /// <remarks>
    /// Every query that sees a key at all must see exactly those that it should. Of queries that see none nothing is asked: exporters add the lowest
    /// number to all scores, which leaves equal weights, where Attention gives 0. Such queries are padding in front of a row.
    /// Four paddings are enough because the same operators make every element of a mask: (b, i, j) depends on the places i and j, on the padding at j, or on
    /// numbers of tokens, and no operator singles out one place of the padding. Each row is padded in all four ways: without padding the part that depends on
    /// places shows alone, over all i and j; tokens at the start tell padding from a count of tokens; tokens at the end tell it from a count taken from the
    /// start; holes tell it from any first or last token. A window shows in the last query of a row without padding, and must hold for all. A mask
    /// that passes and means something else would have to tell single places apart, by a table of B S numbers, which is not what masks are made of; whoever
    /// doubts it compares the graphs by --verify.
    /// </remarks>
    /// <returns>The meaning, or why there is none.</returns>
    public static (MaskMeaning? MaskMeaning, string Reason) Of(CanonicalGraph graph, IReadOnlyList<MaskPart> parts, (long B, long H, long T, long S) scores)
    {
        var key = string.Join(' ', parts.Select(p => $"{p.Value.Name}:{p.Hides}").Append($"{scores}"));
        if (!graph.MaskMeanings.TryGetValue(key, out var known))
            graph.MaskMeanings.Add(key, known = Find(graph.SubgraphEvaluator, parts, scores));
        return known;
    }

    private static (MaskMeaning?, string) Find(SubgraphEvaluator subgraph, IReadOnlyList<MaskPart> parts, (long B, long H, long T, long S) scores)
    {
        if (parts.Count == 0)
            return (new MaskMeaning(false, 0, null), "");
        if (parts.Select(p => SubgraphEvaluator.WhyNot(p.Value)).FirstOrDefault(r => r is not null) is { } reason)
            return (null, $"its mask cannot be computed beforehand: {reason}");
        var inputs = parts.SelectMany(p => subgraph.Leaves(p.Value)).Distinct().ToList();
        var padding = inputs.FirstOrDefault();
        if (inputs.Count > 1 || (padding is not null && (padding.Type is not (ElementType.Int64 or ElementType.Int32 or ElementType.Bool)
            || !Shape.Of(scores.B, scores.S).Equals(padding.Shape))))
        {
            return (null, $"its mask depends on {string.Join(", ", inputs.Select(i => $"'{i.Name}' {i.Type.Name()}{i.Shape}"))}, "
                + $"not on one padding mask [{scores.B}, {scores.S}]");
        }
        var fits = new List<MaskMeaning>();
        foreach (var causal in scores.T == scores.S ? new[] { true, false } : [false])
            fits.AddRange(padding is null ? [new(causal, 0, null)] : [new(causal, 0, padding), new(causal, 0, null)]);
        for (var pattern = 0; pattern < (padding is null ? 1 : 4) && fits.Count > 0; pattern++)
        {
            var kept = Kept(scores.B, scores.S, pattern);
            var given = padding is null ? [] : new Dictionary<Value, Tensor> { [padding] = AsTensor(padding, kept) };
            var seen = new bool[scores.B, scores.T, scores.S];
            foreach (ref var element in MemoryMarshal.CreateSpan(ref seen[0, 0, 0], seen.Length))
                element = true;
            foreach (var part in parts)
            {
                if (Apply(seen, subgraph.Evaluate(part.Value, given), part, scores) is { } why)
                    return (null, why);
            }
            if (pattern == 0 && WindowOf(seen) is > 0 and var window)
                fits = fits.ConvertAll(fit => fit.Causal ? fit with { Window = window } : fit);
            fits.RemoveAll(fit => !fit.Explains(seen, kept));
        }
        return fits.Count > 0 ? (fits[0], "") : (null, "its mask is neither causal, with a window or without, nor one of padding, nor both");
    }

    /// <summary>How many keys the last query of a row without padding sees, if not all.</summary>
    private static int WindowOf(bool[,,] seen)
    {
        var (last, keys) = (seen.GetLength(1) - 1, seen.GetLength(2));
        var count = Enumerable.Range(0, keys).Count(j => seen[0, last, j]);
        return count < keys ? count : 0;
    }

    /// <summary>Each row of the batch is padded in another way: not at all, behind, in front, here and there.</summary>
    private static bool[,] Kept(long b, long s, int pattern)
    {
        var random = new Random(pattern);
        var kept = new bool[b, s];
        for (var row = 0L; row < b; row++)
        {
            var length = random.NextInt64(1, s + 1);
            for (var j = 0L; j < s; j++)
            {
                kept[row, j] = ((row + pattern) % 4) switch
                {
                    0 => true,
                    1 => j < length,
                    2 => j >= s - length,
                    _ => random.Next(2) == 0,
                };
            }
        }
        return kept;
    }

    private static Tensor AsTensor(Value padding, bool[,] kept)
    {
        bool[] flat = [.. kept.Cast<bool>()];
        var sizes = padding.Shape!.Sizes;
        return padding.Type switch
        {
            ElementType.Int64 => Tensor.Of<long>(ElementType.Int64, sizes, Array.ConvertAll(flat, k => k ? 1L : 0L)),
            ElementType.Int32 => Tensor.Of<int>(ElementType.Int32, sizes, Array.ConvertAll(flat, k => k ? 1 : 0)),
            _ => Tensor.Of<bool>(ElementType.Bool, sizes, flat),
        };
    }

    /// <summary>Hides what a part of the mask hides; says why it is no mask where it is none.</summary>
    private static string? Apply(bool[,,] seen, Tensor tensor, MaskPart part, (long B, long H, long T, long S) scores)
    {
        long[] sizes = [.. Enumerable.Repeat(1L, Math.Max(0, 4 - tensor.Sizes.Count)), .. tensor.Sizes];
        if (sizes.Length != 4 || !Fits(sizes[0], scores.B) || !Fits(sizes[1], scores.H) || !Fits(sizes[2], scores.T) || !Fits(sizes[3], scores.S))
            return $"its mask '{part.Value.Name}' {tensor} does not spread over [{scores.B}, {scores.H}, {scores.T}, {scores.S}]";
        var visible = new bool[tensor.ElementCount];
        if (tensor.Type == ElementType.Bool)
        {
            tensor.ToArray<bool>().CopyTo(visible, 0);
            for (var i = 0; part.Hides && i < visible.Length; i++)
                visible[i] = !visible[i];
        }
        else if (tensor.Type == ElementType.Float)
        {
            foreach (var (i, element) in tensor.ToArray<float>().Index())
            {
                visible[i] = element == 0;
                if (element != 0 && !(element <= Hidden))
                    return $"its mask '{part.Value.Name}' adds {element} to scores";
            }
        }
        else
        {
            return $"its mask '{part.Value.Name}' is {tensor.Type.Name()}";
        }
        var strides = new[] { sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1L }
            .Zip(sizes, (stride, size) => size == 1 ? 0 : stride).ToArray();
        for (var i = 0L; i < seen.Length; i++)
        {
            var (b, t, s) = (i / (scores.T * scores.S), i / scores.S % scores.T, i % scores.S);
            var at = (b * strides[0]) + (t * strides[2]) + (s * strides[3]);
            for (var h = 1L; h < sizes[1]; h++)
            {
                if (visible[at + (h * strides[1])] != visible[at])
                    return $"its mask '{part.Value.Name}' differs between heads";
            }
            seen[b, t, s] &= visible[at];
        }
        return null;
    }

    private static bool Fits(long size, long whole) => size == 1 || size == whole;

    private bool Explains(bool[,,] seen, bool[,] kept)
    {
        var (rows, queries, keys) = (seen.GetLength(0), seen.GetLength(1), seen.GetLength(2));
        for (var b = 0; b < rows; b++)
        {
            for (var i = 0; i < queries; i++)
            {
                var seesAny = false;
                var agrees = true;
                for (var j = 0; j < keys; j++)
                {
                    var should = (!Causal || j <= i) && (Window == 0 || j > i - Window) && (Padding is null || kept[b, j]);
                    seesAny |= should;
                    agrees &= should == seen[b, i, j];
                }
                if (seesAny && !agrees)
                    return false;
            }
        }
        return true;
    }
}
