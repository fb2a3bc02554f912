using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.Models.Adapters;
using Halo.Models.Weights;
using Halo.Passes.Export.Weights;

namespace Halo.Runner.Export;

/// <summary>What merging an adapter into weights does, and how much of the adapter's effect is left once they are rounded.</summary>
/// <remarks>
/// A layer's change is |W' - W| over |W|, its error that of the merge in float32 beside float64, of |W'|; its rounding is |R(W') - W'| over |W' - W|, R being
/// what the export's codes stand for: at 1 and above what rounding adds is as large as what tuning did. The effect is the fall of the validation loss from the
/// base to the base with the adapter; what remains is the share of it that the export has.
/// </remarks>
/// <param name="Layers">By module.</param>
/// <param name="Logits">How far those of the export are off, over the validation rows or else the prompts; null where nothing was compared.</param>
/// <param name="BaseLoss">Of the base; null without validation rows.</param>
/// <param name="AdaptedLoss">Of the base with the adapter, in float32.</param>
/// <param name="ExportedLoss">Of the export.</param>
internal sealed record MergeReport(
    IReadOnlyList<MergedLayer> Layers, LogitsDifference? Logits, double? BaseLoss, double? AdaptedLoss, double? ExportedLoss)
{
    public const string FileName = "merge.json";

    /// <summary>The share of the effect that the export keeps; null without validation rows, or where the adapter does not lower the loss.</summary>
    public double? Remains => BaseLoss - AdaptedLoss is > 0 and var effect ? (BaseLoss - ExportedLoss) / effect : null;

    /// <summary>For people.</summary>
    public string Line => Text($"merged {Layers.Count} layers: change up to {Layers.Max(l => l.Change):P1}, error up to {Layers.Max(l => l.Error):G2}")
        + (Layers.Max(l => l.Rounding) is { } rounding ? Text($", rounding up to {rounding:P0} of the change") : "")
        + (BaseLoss is null ? "; no validation rows, so the effect is not measured"
            : Text($"; loss {BaseLoss:F4} -> {AdaptedLoss:F4} by the adapter, {ExportedLoss:F4} exported: ")
                + (Remains is { } share ? Text($"{share:P1} of the effect remains") : "the adapter lowers nothing"));

    /// <summary>The least share that may remain where nothing else is said.</summary>
    public static double LeastOf(WeightType weights) => weights == WeightType.Int4 ? 0.85 : 0.95;

    /// <summary>What weights are rounded to; null where they stay as they are.</summary>
    public static WeightFormat? FormatOf(WeightType weights) => weights switch
    {
        WeightType.Fp16 => WeightFormat.Fp16,
        WeightType.Fp8 => WeightFormat.Fp8,
        WeightType.Int8 => WeightFormat.Int8,
        WeightType.Int4 => WeightFormat.Int4,
        _ => null,
    };

    /// <summary>The layers of an adapter and what merging does to each.</summary>
    /// <param name="weights">The base.</param>
    /// <param name="layers">Of the adapter.</param>
    /// <param name="adapter">Its parameters.</param>
    /// <param name="format">How the export holds weights; null where it has them in float32, or where what it holds are not the weights themselves, rounded.</param>
    public static IReadOnlyList<MergedLayer> LayersOf(
        CheckpointReader weights, AdapterLayers layers, IReadOnlyDictionary<string, SafetensorsTensor> adapter, WeightFormat? format = null) =>
        [.. layers.Layers.Select(layer => Measured(layer, weights[layer.Module + ".weight"], adapter, format))];

    public JsonObject ToJson(double least) => new()
    {
        ["layers"] = new JsonArray([
            .. Layers.Select(l => new JsonObject
            {
                ["module"] = l.Module,
                ["change"] = Rounded(l.Change),
                ["error"] = Rounded(l.Error),
                ["rounding"] = l.Rounding is { } rounding ? Rounded(rounding) : null,
            }),
        ]),
        ["logits"] = Logits?.ToJson(),
        ["base_loss"] = BaseLoss,
        ["adapted_loss"] = AdaptedLoss,
        ["exported_loss"] = ExportedLoss,
        ["effect_that_remains"] = Remains,
        ["least_effect"] = least,
    };

    private static MergedLayer Measured(
        AdapterLayer layer, SafetensorsTensor weight, IReadOnlyDictionary<string, SafetensorsTensor> adapter, WeightFormat? format)
    {
        var (w, merged) = (weight.ReadFloats(), AdapterMerge.Merged(layer, weight, adapter));
        var (a, b) = (adapter[AdapterNames.A(layer.Module)].ReadFloats(), adapter[AdapterNames.B(layer.Module)].ReadFloats());
        var m = layer.Dora ? adapter[AdapterNames.Magnitude(layer.Module)].ReadFloats() : null;
        var (rows, columns) = ((int)layer.Weight.Sizes[0], (int)layer.Weight.Sizes[1]);
        var held = format is { } rounded ? RoundedWeights.Of(rounded, merged, columns) : null;
        var (before, change, size, error, rounding) = (0.0, 0.0, 0.0, 0.0, 0.0);
        var exact = new double[columns];
        var sparse = new float[layer.Sparse > 0 ? w.Length : 0];
        if (layer.Sparse > 0)
        {
            var places = MemoryMarshal.Cast<byte, long>(adapter[AdapterNames.Places(layer.Module)].Bytes());
            foreach (var (at, value) in adapter[AdapterNames.Elements(layer.Module)].ReadFloats().Index())
                sparse[places[at]] = value;
        }
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
            {
                var sum = 0.0;
                for (var k = 0; k < layer.Rank; k++)
                    sum += (double)b[(i * layer.Rank) + k] * a[(k * columns) + j];
                exact[j] = w[(i * columns) + j] + (layer.Scale * sum) + (layer.Sparse > 0 ? sparse[(i * columns) + j] : 0);
            }
            var factor = m is null ? 1 : m[i] / Math.Sqrt(exact.Sum(v => v * v));
            for (var j = 0; j < columns; j++)
            {
                var (was, wanted, made) = ((double)w[(i * columns) + j], factor * exact[j], (double)merged[(i * columns) + j]);
                before += was * was;
                size += wanted * wanted;
                change += (wanted - was) * (wanted - was);
                error += (made - wanted) * (made - wanted);
                rounding += held is null ? 0 : (held[(i * columns) + j] - made) * (held[(i * columns) + j] - made);
            }
        }
        return new MergedLayer(layer.Module, Math.Sqrt(change / before), Math.Sqrt(error / size), held is null ? null : Math.Sqrt(rounding / change));
    }

    /// <summary>Null for what is no number, which JSON has none for: the rounding of a layer that is not changed.</summary>
    private static double? Rounded(double value) => !double.IsFinite(value) ? null : double.Parse(value.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What merging does to a layer.</summary>
/// <param name="Module">The layer.</param>
/// <param name="Change">Of its weight by the adapter, of the weight.</param>
/// <param name="Error">Of the merge, of the merged weight.</param>
/// <param name="Rounding">Of the merged weight to codes, of the change; null where it is not rounded alone.</param>
internal sealed record MergedLayer(string Module, double Change, double Error, double? Rounding);
