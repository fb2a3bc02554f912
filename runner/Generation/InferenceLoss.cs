using Halo.Runner.Data;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Generation;

/// <summary>The loss of an inference graph, counted as <see cref="Evaluator"/> counts it.</summary>
internal static class InferenceLoss
{
    /// <summary>The summed cross-entropy of all counted tokens, each predicted from those before it, over their number; in float64.</summary>
    /// <param name="decoder">The graph.</param>
    /// <param name="rows">None longer than the graph takes.</param>
    /// <param name="rowsAtOnce">Rows of one run; their logits (rows, tokens, V) are in memory.</param>
    /// <exception cref="TrainingFailedException">The loss is not finite.</exception>
    public static (double Loss, long CountedTokens) Of(DecoderSession decoder, IReadOnlyList<TokenizedRow> rows, int rowsAtOnce)
    {
        double sum = 0;
        long counted = 0;
        foreach (var together in rows.OrderBy(r => r.Ids.Length).Chunk(rowsAtOnce)) // of like lengths, so that little is padding
        {
            using var decoding = decoder.Begin([.. together.Select(r => r.Ids)]);
            for (var row = 0; row < together.Length; row++)
            {
                var (ids, mask) = (together[row].Ids, together[row].LossMask);
                for (var t = 1; t < ids.Length; t++)
                {
                    if (mask[t] == 0)
                        continue;
                    sum += CrossEntropy(decoding.Logits(row, t - 1), ids[t]);
                    counted++;
                }
            }
        }
        return double.IsFinite(sum) ? (sum / counted, counted)
            : throw new TrainingFailedException("eval: expected a finite loss, found a non-finite one. Check the weights, or export them in a wider type.");
    }

    /// <summary>ln(sum of exp(logits)) - logit of the token.</summary>
    private static double CrossEntropy(ReadOnlySpan<float> logits, int id)
    {
        var highest = double.NegativeInfinity;
        foreach (var logit in logits)
            highest = Math.Max(highest, logit); // a NaN stays
        var sum = 0.0;
        foreach (var logit in logits)
            sum += Math.Exp(logit - highest);
        return highest + Math.Log(sum) - logits[id];
    }
}
