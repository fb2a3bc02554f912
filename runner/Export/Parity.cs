using System.Text.Json.Nodes;
using Halo.Passes.Canonical.Precision;
using Halo.Passes.Infra;

namespace Halo.Runner.Export;

/// <summary>An export held against the graph it was made of: over some prompts whole and through the cache, over a validation file whole.</summary>
/// <param name="Weights">How the export stores its weights.</param>
/// <param name="Precision">The float type of its graph: of activations and caches.</param>
/// <param name="Prompts">What the prompts are, for a reader.</param>
/// <param name="Exported">The export over the prompts.</param>
/// <param name="Cached">Its cached decoding over the prompts; null where there is no cache.</param>
/// <param name="Cache">Cached decoding against the export itself.</param>
/// <param name="Validation">The export over the validation file; null where none was given.</param>
/// <param name="ForwardLoss">The graph's own loss over the validation file.</param>
internal sealed record Parity(
    WeightType Weights, FloatPrecision Precision, string Prompts, LogitsDifference Exported, LogitsDifference? Cached, LogitsDifference? Cache,
    LogitsDifference? Validation, double? ForwardLoss)
{
    /// <summary>Runs all of it.</summary>
    /// <param name="weights">How the export stores its weights.</param>
    /// <param name="precision">The float type of its graph.</param>
    /// <param name="rows">Prompts to compare, and what they are; rows of the validation file.</param>
    /// <param name="forward">The graph that the export was made of.</param>
    /// <param name="exported">The export over whole rows.</param>
    /// <param name="cached">The export through its cache.</param>
    /// <exception cref="HaloException">The models have other vocabularies.</exception>
    public static Parity Of(WeightType weights, FloatPrecision precision, ComparedRows rows, ILogits forward, ILogits exported, ILogits? cached)
    {
        if (forward.Vocabulary != exported.Vocabulary)
        {
            throw new HaloException("export", "the exported graph", $"{forward.Vocabulary} logits of a position", $"{exported.Vocabulary}",
                "The folder belongs to another model.");
        }
        var (whole, continued, cache) = (new LogitsDifference(), new LogitsDifference(), new LogitsDifference());
        var ids = rows.Prompts.Select(r => r.Ids).ToList();
        var (a, b, c) = (forward.Of(ids), exported.Of(ids), cached?.Of(ids) ?? ids.Select(_ => Array.Empty<float>()));
        foreach (var (row, (expected, found, through)) in rows.Prompts.Zip(a.Zip(b, c)))
        {
            whole.Add(expected, found, forward.Vocabulary, row.Ids, row.LossMask);
            if (cached is null)
                continue;
            continued.Add(expected, through, forward.Vocabulary, row.Ids, row.LossMask);
            cache.Add(found, through, forward.Vocabulary, row.Ids, row.LossMask);
        }
        if (rows.Valid is not { } valid)
            return new Parity(weights, precision, rows.What, whole, cached is null ? null : continued, cached is null ? null : cache, null, null);
        var (validation, own) = (new LogitsDifference(), new LogitsDifference());
        var all = valid.Select(r => r.Ids).ToList();
        foreach (var (row, (expected, found)) in valid.Zip(forward.Of(all).Zip(exported.Of(all))))
        {
            validation.Add(expected, found, forward.Vocabulary, row.Ids, row.LossMask);
            own.Add(expected, expected, forward.Vocabulary, row.Ids, row.LossMask);
        }
        return new Parity(weights, precision, rows.What, whole, cached is null ? null : continued, cached is null ? null : cache, validation, own.Loss);
    }

    /// <summary>What is out of bounds, a line each; the validation file decides where there is one, the prompts else.</summary>
    public IReadOnlyList<string> Broken(ParityBounds bounds) =>
    [
        .. bounds.Broken(Validation ?? Exported).Select(line => $"exported graph: {line}"),
        .. Cache is not { Positions: > 0 } ? []
            : ParityBounds.OfCache(Weights, Precision).Broken(Cache).Select(line => $"cached decoding against the exported graph: {line}"),
    ];

    public JsonObject ToJson(ParityBounds bounds)
    {
        var json = new JsonObject
        {
            ["tool"] = Ledger.ToolVersion,
            ["weights"] = Weights.ToString().ToLowerInvariant(),
            ["activations"] = Precision.ToString().ToLowerInvariant(),
            ["prompts"] = Prompts,
            ["exported"] = Exported.ToJson(),
        };
        if (Cached is not null)
            (json["cached"], json["cached_against_exported"]) = (Cached.ToJson(), Cache!.ToJson());
        if (Validation is not null)
        {
            json["validation"] = Validation.ToJson();
            json["validation"]!["forward_loss"] = LogitsDifference.Rounded(ForwardLoss!.Value);
        }
        json["bounds"] = bounds.ToJson();
        json["out_of_bounds"] = new JsonArray([.. Broken(bounds).Select(line => JsonValue.Create(line))]);
        return json;
    }
}
