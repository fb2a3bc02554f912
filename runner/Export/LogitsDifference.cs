using System.Globalization;
using System.Numerics.Tensors;
using System.Text.Json.Nodes;

namespace Halo.Runner.Export;

/// <summary>How far the logits of one model are from those of another over the same tokens.</summary>
/// <remarks>
/// Top-1 agreement: the share of positions at which both have the same largest logit. KL: the mean over positions of sum p ln(p / q), in nats, p of the
/// reference and q of the other, in float64. The loss is the mean cross-entropy of the tokens that count, each predicted from those before it.
/// </remarks>
internal sealed class LogitsDifference
{
    private double _largest, _sum, _divergence, _loss;
    private long _elements, _agreeing;

    /// <summary>Positions compared.</summary>
    public long Positions { get; private set; }

    /// <summary>Tokens that count in the loss.</summary>
    public long Counted { get; private set; }

    public double Largest => _largest;

    public double Mean => _sum / Math.Max(1, _elements);

    public double Agreement => (double)_agreeing / Math.Max(1, Positions);

    public double Divergence => _divergence / Math.Max(1, Positions);

    /// <summary>Of the model compared; NaN where no token counts.</summary>
    public double Loss => _loss / Counted;

    /// <summary>Adds the positions of a row.</summary>
    /// <param name="reference">(tokens, V).</param>
    /// <param name="other">(tokens, V).</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="ids">The row's tokens.</param>
    /// <param name="counts">1 for each token that counts in the loss, of the length of <paramref name="ids"/>.</param>
    /// <exception cref="ArgumentException">The sizes differ.</exception>
    public void Add(ReadOnlySpan<float> reference, ReadOnlySpan<float> other, int vocabulary, ReadOnlySpan<int> ids, ReadOnlySpan<byte> counts)
    {
        if (reference.Length != other.Length || reference.Length != (long)ids.Length * vocabulary || counts.Length != ids.Length)
            throw new ArgumentException($"{reference.Length} and {other.Length} logits, {counts.Length} counts for {ids.Length} tokens of {vocabulary}");
        var p = new double[vocabulary];
        var q = new double[vocabulary];
        for (var t = 0; t < ids.Length; t++)
        {
            var expected = reference.Slice(t * vocabulary, vocabulary);
            var found = other.Slice(t * vocabulary, vocabulary);
            for (var v = 0; v < vocabulary; v++)
            {
                var difference = Math.Abs((double)expected[v] - found[v]);
                _largest = Math.Max(_largest, difference); // a NaN stays
                _sum += difference;
            }
            _elements += vocabulary;
            _agreeing += Agree(expected, found) ? 1 : 0;
            LogSoftmax(expected, p);
            LogSoftmax(found, q);
            for (var v = 0; v < vocabulary; v++)
                _divergence += Math.Exp(p[v]) * (p[v] - q[v]);
            Positions++;
            if (t + 1 < ids.Length && counts[t + 1] != 0)
            {
                _loss -= q[ids[t + 1]];
                Counted++;
            }
        }
    }

    /// <summary>The figures for <c>parity.json</c>; the loss only where tokens count.</summary>
    public JsonObject ToJson()
    {
        var json = new JsonObject
        {
            ["positions"] = Positions,
            ["max_difference"] = Rounded(Largest),
            ["mean_difference"] = Rounded(Mean),
            ["top1_agreement"] = Rounded(Agreement),
            ["kl"] = Rounded(Divergence),
        };
        if (Counted > 0)
            (json["loss"], json["counted_tokens"]) = (Rounded(Loss), Counted);
        return json;
    }

    /// <summary>Six digits; what is no number becomes a text, as JSON has none for it.</summary>
    internal static JsonValue Rounded(double value) => double.IsFinite(value)
        ? JsonValue.Create(double.Parse(value.ToString("G6", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture))
        : JsonValue.Create(value.ToString(CultureInfo.InvariantCulture));

    /// <summary>A logit that is no number has no place in an order, so a position with one agrees with none.</summary>
    private static bool Agree(ReadOnlySpan<float> expected, ReadOnlySpan<float> found)
    {
        var index = TensorPrimitives.IndexOfMax(expected); // that of the first NaN where there is one
        return index == TensorPrimitives.IndexOfMax(found) && !float.IsNaN(expected[index]) && !float.IsNaN(found[index]);
    }

    private static void LogSoftmax(ReadOnlySpan<float> logits, Span<double> result)
    {
        var largest = (double)TensorPrimitives.Max(logits);
        double sum = 0;
        foreach (var logit in logits)
            sum += Math.Exp(logit - largest);
        var shift = largest + Math.Log(sum);
        for (var v = 0; v < logits.Length; v++)
            result[v] = logits[v] - shift;
    }
}
