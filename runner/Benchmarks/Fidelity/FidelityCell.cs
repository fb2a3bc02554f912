using System.Text.Json;

namespace Halo.Runner.Benchmarks.Fidelity;

/// <summary>One run of the study, with what PyTorch reaches in its place.</summary>
/// <param name="Model">tiny, or tiny-outliers.</param>
/// <param name="Format">none for float32.</param>
/// <param name="Scheme">The HALO level.</param>
/// <param name="Seed">Draws the order of the rows.</param>
/// <param name="PyTorchBefore">PyTorch's validation loss before training.</param>
/// <param name="PyTorchAfter">And after it; null where PyTorch has no run of the seed.</param>
internal sealed record FidelityCell(string Model, string Format, string Scheme, int Seed, double PyTorchBefore, double? PyTorchAfter)
{
    /// <summary>A file name; also what tells cells apart.</summary>
    public string Name => $"{Model}_{Format}_{Scheme}_seed{Seed}";

    /// <summary>The cells of the published table: those of PyTorch's file that have float32 masters.</summary>
    public static IReadOnlyList<FidelityCell> All { get; } = Read();

    /// <summary>Every row of the table with seeds 0 to <paramref name="seeds"/> - 1, and with those that PyTorch has.</summary>
    public static IReadOnlyList<FidelityCell> WithSeeds(int seeds) =>
    [
        .. All.GroupBy(cell => (cell.Model, cell.Format, cell.Scheme)).SelectMany(row => row.Concat(Enumerable.Range(0, seeds)
            .Where(seed => row.All(cell => cell.Seed != seed)).Select(seed => row.First() with { Seed = seed, PyTorchAfter = null }))),
    ];

    private static List<FidelityCell> Read()
    {
        using var stream = typeof(FidelityCell).Assembly.GetManifestResourceStream("Halo.Runner.Benchmarks.Fidelity.pytorch.json")!;
        using var document = JsonDocument.Parse(stream);
        return [.. document.RootElement.EnumerateArray().Where(e => e.GetProperty("dtype").GetString() == "float32").Select(Cell)];

        static FidelityCell Cell(JsonElement e) => new(
            e.GetProperty("model").GetString()!, e.GetProperty("fmt").GetString() ?? "none",
            e.GetProperty("level").ValueKind == JsonValueKind.Null ? "none" : $"halo-{e.GetProperty("level").GetInt32()}",
            e.GetProperty("seed").GetInt32(), e.GetProperty("before").GetDouble(), e.GetProperty("after").GetDouble());
    }
}

/// <summary>What a cell came to: validation loss before and after, and the first training losses.</summary>
internal sealed record FidelityResult(double Before, double After, IReadOnlyList<double> FirstLosses);
