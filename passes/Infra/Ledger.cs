using System.Text.Json;
using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.Io;
using Halo.Ir;

namespace Halo.Passes.Infra;

/// <summary>What was done to a model: rewrite after rewrite, pass after pass. It lies in the model's metadata and in reports.</summary>
/// <remarks>No times and no paths: the same input and options give the same bytes. Measured numbers have three digits, for the same reason.</remarks>
/// <param name="Rewrites">Oldest first; rewriting a rewritten model appends.</param>
public sealed record Ledger(IReadOnlyList<LedgerRewrite> Rewrites)
{
    /// <summary>The key of the model's metadata.</summary>
    public const string MetadataKey = "halo.ledger";

    public static string ToolVersion { get; } = $"halo {typeof(Ledger).Assembly.GetName().Version!.ToString(3)}";

    /// <summary>The ledger of a model; empty if it was never rewritten.</summary>
    public static Ledger Of(Model model) => model.Metadata.TryGetValue(MetadataKey, out var text) ? Parse(text) : new Ledger([]);

    /// <summary>Writes what a pipeline did behind what the model's ledger has already.</summary>
    /// <param name="model">The rewritten model.</param>
    /// <param name="run">What the pipeline did.</param>
    /// <param name="inputSha256">The hash of the file that was read, in lower-case hexadecimal.</param>
    public static Ledger Append(Model model, PassRun run, string inputSha256)
    {
        var ledger = new Ledger([.. Of(model).Rewrites, LedgerRewrite.Of(run, inputSha256)]);
        model.Metadata[MetadataKey] = ledger.ToJson();
        return ledger;
    }

    public string ToJson() => JsonSerializer.Serialize(this, JsonText.Embedded);

    public static Ledger Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<Ledger>(text, JsonText.Embedded) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new HaloException("read-ledger", $"metadata '{MetadataKey}'", "a ledger as this program writes it", e.Message,
                "Remove the entry, or rewrite the model from its source.", e);
        }
    }
}

/// <param name="Tool">Program and version.</param>
/// <param name="InputSha256">The hash of the file that was read.</param>
/// <param name="Passes">In the order they ran.</param>
public sealed record LedgerRewrite(string Tool, string InputSha256, IReadOnlyList<LedgerPass> Passes)
{
    /// <summary>What a pipeline did.</summary>
    public static LedgerRewrite Of(PassRun run, string inputSha256) => new(Ledger.ToolVersion, inputSha256, [.. run.Passes.Select(LedgerPass.Of)]);

    /// <summary>The passes as the ledger's text has them.</summary>
    public JsonNode PassesToJson() => JsonSerializer.SerializeToNode(Passes, JsonText.Embedded)!;
}

/// <param name="Pass">The pass's name.</param>
/// <param name="Effect">exact, reassociating or quantizing.</param>
/// <param name="Rewrites">How many places it changed.</param>
/// <param name="Skipped">How many it left.</param>
/// <param name="Options">Its options as in pipeline text, defaults included; null if it has none.</param>
/// <param name="Limit">The bound of the relative error, or the floor in dB; null for an exact pass.</param>
/// <param name="Measured">The outputs before against after; null if that was not asked for.</param>
public sealed record LedgerPass(
    string Pass, string Effect, int Rewrites, int Skipped, string? Options = null, double? Limit = null, LedgerMeasure? Measured = null)
{
    /// <summary>A line for a reader; what was measured stands beside its limit, which it kept, or there would be no ledger.</summary>
    public string Describe(bool withOptions)
    {
        var measured = Measured switch
        {
            null => "",
            { } m when m.Identical == m.Outputs => $", all {m.Outputs} outputs keep their bits: within limits",
            { } m when Effect == "quantizing" =>
                $", worst output {m.WorstOutput}: {m.WorstSqnrDb:0.#} dB of signal to rounding, limit {Limit:0.#} dB: within limits",
            { } m => $", worst output {m.WorstOutput}: relative error {m.WorstRelativeError:0.0e-0}, limit {Limit:0.0e-0}: within limits",
        };
        return $"{Pass}{(withOptions && Options is { } o ? $"{{{o}}}" : "")}: {Rewrites} rewrites, {Skipped} skipped, {Effect}{measured}";
    }

    internal static LedgerPass Of(PassRecord record)
    {
        var options = PipelineParser.OptionsText(record.Pass, withDefaults: true);
        double? limit = record.Pass.Effect switch
        {
            ValueEffect.Reassociating(var bound) => bound,
            ValueEffect.Quantizing(var floorDb) => floorDb,
            _ => null,
        };
        return new LedgerPass(record.Pass.Name, record.Pass.Effect.Name, record.Rewrites, record.Skipped.Count,
            options.Length == 0 ? null : options[1..^1], limit, record.Measured is { } m ? LedgerMeasure.Of(m) : null);
    }
}

/// <param name="Outputs">How many outputs were compared.</param>
/// <param name="Identical">How many of them kept their bits.</param>
/// <param name="WorstOutput">The one with the largest relative error.</param>
/// <param name="WorstRelativeError">Its ||after - before|| / ||before||.</param>
/// <param name="WorstSqnrDb">The same in dB; null where there is no difference.</param>
/// <param name="LossRelativeError">That of output <c>loss</c>; null where the graph has none.</param>
public sealed record LedgerMeasure(
    int Outputs, int Identical, string WorstOutput, double WorstRelativeError, double? WorstSqnrDb = null, double? LossRelativeError = null)
{
    internal static LedgerMeasure Of(IReadOnlyList<OutputDifference> differences)
    {
        var worst = differences.MaxBy(d => d.RelativeError)!;
        var loss = differences.FirstOrDefault(d => d.Output == TrainingNames.Loss);
        return new LedgerMeasure(differences.Count, differences.Count(d => d.IsIdentical), worst.Output, Round(worst.RelativeError),
            double.IsFinite(worst.SqnrDb) ? Round(worst.SqnrDb) : null, loss is null ? null : Round(loss.RelativeError));
    }

    /// <summary>Three digits; what is not finite is as large as a number gets, for JSON has no other word.</summary>
    private static double Round(double value) => double.IsFinite(value) ? double.Parse(value.ToString("E2")) : double.MaxValue;
}
