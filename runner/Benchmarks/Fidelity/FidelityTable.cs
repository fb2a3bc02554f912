using System.Globalization;
using System.Text;

namespace Halo.Runner.Benchmarks.Fidelity;

/// <summary>The study as tables in Markdown, with what is expected of it and whether it holds.</summary>
internal static class FidelityTable
{
    /// <summary>Differences of validation loss up to this are none: about twice the noise between seeds.</summary>
    private const double Same = 0.01;

    /// <summary>What int8 loses at least without rotations.</summary>
    private const double Lost = 0.04;

    public static string Write(IReadOnlyList<FidelityCell> cells, IReadOnlyDictionary<FidelityCell, FidelityResult> results)
    {
        var text = new StringBuilder();
        foreach (var model in cells.Select(cell => cell.Model).Distinct())
        {
            Line(text, $"| {model} | before | PyTorch | after, by seed | mean | PyTorch, by seed | mean |");
            Line(text, "|---|---|---|---|---|---|---|");
            foreach (var row in cells.Where(cell => cell.Model == model).GroupBy(cell => (cell.Format, cell.Scheme)))
            {
                var done = row.Where(results.ContainsKey).ToList();
                if (done.Count == 0)
                    continue;
                Line(text, $"| {Title(row.Key.Format, row.Key.Scheme)} | {results[done[0]].Before:F3} | {done[0].PyTorchBefore:F3} "
                    + $"| {string.Join(' ', done.Select(c => Number(results[c].After)))} | {done.Average(c => results[c].After):F3} "
                    + $"| {string.Join(' ', done.Select(c => c.PyTorchAfter is { } loss ? Number(loss) : "-"))} | {done.Average(c => c.PyTorchAfter):F3} |");
            }
            Line(text, "");
        }
        foreach (var (claim, measured, holds) in Claims(cells, results))
            Line(text, $"- {(holds ? "holds" : "FAILS")}: {claim}: {measured}");
        return text.ToString();
    }

    private static IEnumerable<(string Claim, string Measured, bool Holds)> Claims(
        IReadOnlyList<FidelityCell> cells, IReadOnlyDictionary<FidelityCell, FidelityResult> results)
    {
        foreach (var model in cells.Select(cell => cell.Model).Distinct())
        {
            List<FidelityCell> Row(string format, string scheme) =>
                [.. cells.Where(c => c.Model == model && c.Format == format && c.Scheme == scheme && results.ContainsKey(c))];
            double Mean(IEnumerable<FidelityCell> some) => some.Average(c => results[c].After);
            double PyTorch(IEnumerable<FidelityCell> some) => some.Average(c => c.PyTorchAfter)!.Value;

            var plain = Row("none", "none");
            if (plain.Count > 0)
            {
                var difference = Mean(plain) - plain.Average(c => c.PyTorchAfter)!.Value;
                yield return ($"{model}: fp32 within {Same} of PyTorch's", $"{difference:+0.0000;-0.0000}", Math.Abs(difference) <= Same);
            }
            foreach (var (format, scheme) in new[] { ("fp8", "halo-0"), ("fp8", "halo-1"), ("fp8", "halo-2"), ("int8", "halo-2") })
            {
                var row = Row(format, scheme).Where(c => plain.Any(p => p.Seed == c.Seed)).ToList();
                if (row.Count == 0)
                    continue;
                var same = plain.Where(p => row.Any(c => c.Seed == p.Seed)).ToList();
                var (here, there) = (Mean(row) - Mean(same), PyTorch(row) - PyTorch(same));
                yield return ($"{model}: {format} {scheme} within {Same} of the same seeds' fp32",
                    $"{here:+0.0000;-0.0000} (PyTorch {there:+0.0000;-0.0000})", here <= Same);
            }
            foreach (var (format, worse, better, least) in new[] { ("int8", "halo-0", "halo-2", Lost), ("fp6", "halo-0", "halo-1", 0) })
            {
                var (left, right) = (Row(format, worse), Row(format, better));
                right = [.. right.Where(c => left.Any(l => l.Seed == c.Seed))];
                if (left.Count == 0 || right.Count == 0)
                    continue;
                var difference = Mean(left) - Mean(right);
                var claim = $"{model}: {format} {worse} worse than {format} {better}{(least > 0 ? $" by at least {least}" : "")}";
                yield return (claim, $"{difference:+0.0000;-0.0000}", difference > least);
            }
        }
    }

    private static string Title(string format, string scheme) => format == "none" ? "fp32" : $"{format} {scheme}";

    private static string Number(double loss) => loss.ToString("F4", CultureInfo.InvariantCulture);

    private static void Line(StringBuilder text, string line) => text.Append(line).Append('\n');
}
