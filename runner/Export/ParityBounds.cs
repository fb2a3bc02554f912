using System.Text.Json.Nodes;
using Halo.Passes.Canonical.Precision;

namespace Halo.Runner.Export;

/// <summary>What an export may differ from the graph it was made of before it is refused.</summary>
/// <param name="Agreement">Smallest share of positions with the same most likely token.</param>
/// <param name="Divergence">Largest mean KL, nats.</param>
/// <param name="Difference">Largest difference of a logit; null: not bounded.</param>
internal sealed record ParityBounds(double Agreement, double Divergence, double? Difference)
{
    /// <summary>
    /// The bounds of a type of weights: what a small model keeps, whose logits lose more than those of a large one. In float32 only the order of sums differs.
    /// </summary>
    public static ParityBounds Of(WeightType weights) => weights switch
    {
        WeightType.Fp32 => new(0.999, 1e-6, 1e-2),
        WeightType.Fp16 => new(0.99, 1e-3, null),
        WeightType.Bf16 or WeightType.Int8 => new(0.97, 1e-2, null),
        WeightType.Fp8 => new(0.90, 3e-2, null),
        WeightType.Int4 => new(0.60, 0.5, null),
        _ => throw new ArgumentOutOfRangeException(nameof(weights), weights, null),
    };

    /// <summary>
    /// Bounds of the cache, which repeats the same sums in another order. Where products round activations to 8 bits, in blocks that another number of rows
    /// leaves as they are, a last bit before moves a code.
    /// </summary>
    public static ParityBounds OfCache(WeightType weights, FloatPrecision precision) => (weights, precision) switch
    {
        (WeightType.Int8 or WeightType.Int4, _) => new(0.97, 2e-3, null),
        (_, FloatPrecision.Fp16) => new(0.99, 1e-3, null),
        _ => new(0.999, 1e-6, 1e-2),
    };

    /// <summary>What of a comparison is out of bounds, a line each.</summary>
    public IEnumerable<string> Broken(LogitsDifference found)
    {
        if (!(found.Agreement >= Agreement))
            yield return $"top-1 agreement of at least {Agreement:0.#### %}, found {found.Agreement:0.#### %}";
        if (!(found.Divergence <= Divergence))
            yield return $"KL of at most {Divergence:G3} nats, found {found.Divergence:G3}";
        if (Difference is { } largest && !(found.Largest <= largest))
            yield return $"logits within {largest:G3}, found a difference of {found.Largest:G3}";
    }

    public JsonObject ToJson()
    {
        var json = new JsonObject { ["top1_agreement"] = Agreement, ["kl"] = Divergence };
        if (Difference is { } largest)
            json["max_difference"] = largest;
        return json;
    }
}
