using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Halo.Analysis;
using Halo.Models.Adapters;
using Halo.Models.Weights;

namespace Halo.Runner.Export;

/// <summary>What merging an adapter into weights does, and how much of the adapter's effect is left once they are rounded.</summary>
/// <remarks>
/// A layer's change is |W' - W| over |W|, its error that of the merge in float32 beside float64, of |W'|. The effect is the fall of the validation loss from
/// the base to the base with the adapter; what remains is the share of it that the export has. How far logits are off is in parity.json.
/// </remarks>
/// <param name="Layers">By module.</param>
/// <param name="BaseLoss">Of the base; null without validation rows.</param>
/// <param name="AdaptedLoss">Of the base with the adapter, in float32.</param>
/// <param name="ExportedLoss">Of the export.</param>
public sealed record MergeReport(
    IReadOnlyList<(string Module, double Change, double Error)> Layers, double? BaseLoss, double? AdaptedLoss, double? ExportedLoss)
{
    public const string FileName = "merge.json";

    /// <summary>The share of the effect that the export keeps; null without validation rows, or where the adapter does not lower the loss.</summary>
    public double? Remains => BaseLoss - AdaptedLoss is > 0 and var effect ? (BaseLoss - ExportedLoss) / effect : null;

    /// <summary>For people.</summary>
    public string Line => Text($"merged {Layers.Count} layers: change up to {Layers.Max(l => l.Change):P1}, error up to {Layers.Max(l => l.Error):G2}")
        + (BaseLoss is null ? "; no validation rows, so the effect is not measured"
            : Text($"; loss {BaseLoss:F4} -> {AdaptedLoss:F4} by the adapter, {ExportedLoss:F4} exported: ")
                + (Remains is { } share ? Text($"{share:P1} of the effect remains") : "the adapter lowers nothing"));

    /// <summary>The least share that may remain where nothing else is said.</summary>
    public static double LeastOf(WeightType weights) => weights == WeightType.Int4 ? 0.85 : 0.95;

    /// <summary>The layers of an adapter and what merging does to each.</summary>
    public static IReadOnlyList<(string Module, double Change, double Error)> LayersOf(
        CheckpointReader weights, AdapterLayers layers, IReadOnlyDictionary<string, SafetensorsTensor> adapter) =>
        [.. layers.Layers.Select(layer => Measured(layer, weights[layer.Module + ".weight"], adapter))];

    public JsonObject ToJson(double least) => new()
    {
        ["layers"] = new JsonArray([
            .. Layers.Select(l => new JsonObject { ["module"] = l.Module, ["change"] = Rounded(l.Change), ["error"] = Rounded(l.Error) }),
        ]),
        ["base_loss"] = BaseLoss,
        ["adapted_loss"] = AdaptedLoss,
        ["exported_loss"] = ExportedLoss,
        ["effect_that_remains"] = Remains,
        ["least_effect"] = least,
    };

    private static (string Module, double Change, double Error) Measured(
        AdapterLayer layer, SafetensorsTensor weight, IReadOnlyDictionary<string, SafetensorsTensor> adapter)
    {
        var (w, merged) = (weight.ReadFloats(), AdapterMerge.Merged(layer, weight, adapter));
        var (a, b) = (adapter[AdapterNames.A(layer.Module)].ReadFloats(), adapter[AdapterNames.B(layer.Module)].ReadFloats());
        var m = layer.Dora ? adapter[AdapterNames.Magnitude(layer.Module)].ReadFloats() : null;
        var (rows, columns) = ((int)layer.Weight.Sizes[0], (int)layer.Weight.Sizes[1]);
        var (before, change, size, error) = (0.0, 0.0, 0.0, 0.0);
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
            }
        }
        return (layer.Module, Math.Sqrt(change / before), Math.Sqrt(error / size));
    }

    private static double Rounded(double value) => double.Parse(value.ToString("G4", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
