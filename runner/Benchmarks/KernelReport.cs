using System.Globalization;
using System.Text;
using System.Text.Json;
using Halo.Io;

namespace Halo.Runner.Benchmarks;

/// <summary>What <c>halo bench kernels</c> measured: as lines of JSON, versions first, and as tables in Markdown.</summary>
/// <param name="Versions">Device, driver and libraries, this tool, the day.</param>
/// <param name="Times">Ceilings and kernels as they were measured.</param>
internal sealed record KernelReport(IReadOnlyDictionary<string, string> Versions, IReadOnlyList<KernelTime> Times)
{
    public IEnumerable<KernelTime> Kernels => Times.Where(t => !t.IsCeiling);

    public string ToJsonLines() =>
        string.Concat([JsonSerializer.Serialize(Versions, JsonText.Line) + "\n", .. Times.Select(t => JsonSerializer.Serialize(t, JsonText.Line) + "\n")]);

    public string ToMarkdown()
    {
        var text = new StringBuilder();
        text.AppendLine(string.Join(", ", Versions.Select(v => $"{v.Key} {v.Value}")) + ".").AppendLine();
        text.AppendLine(string.Join("; ", Times.Where(t => t.IsCeiling).Select(Ceiling)) + ".");
        var hasBodies = Kernels.Any(t => t.BodyMilliseconds is not null);
        Table(text, "| kernel | type | shape | ms | GB/s | of copy |", Kernels.Where(t => t.GigabytesPerSecond is not null), hasBodies,
            t => $" {Number(t.GigabytesPerSecond!.Value, "F0")} | {Share(t.OfCopy)} |");
        Table(text, "| product | type | shape | ms | TFLOP/s | of products |", Kernels.Where(t => t.TeraflopsPerSecond is not null), hasBodies,
            t => $" {Number(t.TeraflopsPerSecond!.Value, "G4")} | {Share(t.OfProducts)} |");
        return text.ToString();
    }

    private static string Ceiling(KernelTime time)
    {
        var name = time.Kernel[KernelTime.CeilingPrefix.Length..];
        return time.GigabytesPerSecond is { } bytes ? $"a {name} moves {Number(bytes, "F0")} GB/s, read and written"
            : $"{name} in {time.Type}, {time.Shape}: {Number(time.TeraflopsPerSecond!.Value, "G4")} TFLOP/s";
    }

    private static void Table(StringBuilder text, string header, IEnumerable<KernelTime> times, bool hasBodies, Func<KernelTime, string> rate)
    {
        if (!times.Any())
            return;
        header += hasBodies ? " body, ms | body / kernel |" : "";
        text.AppendLine().AppendLine(header).AppendLine(string.Concat(Enumerable.Repeat("|---", header.Count(c => c == '|') - 1)) + "|");
        foreach (var time in times)
        {
            var body = time.BodyMilliseconds is { } ms ? $" {Number(ms, "F2")} | {Number(ms / time.Milliseconds, "F1")} |" : "";
            text.AppendLine($"| `{time.Kernel}` | {time.Type} | {time.Shape} | {Number(time.Milliseconds, "F3")} |" + rate(time) + body);
        }
    }

    private static string Share(double? share) => share is { } s ? Number(s, "F2") : "";

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
