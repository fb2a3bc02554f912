using System.Text;
using System.Text.Json;
using Halo.Io;

namespace Halo.Runner.Training.Metrics;

/// <summary>metrics.jsonl: a row a line, handed to the system as soon as it is appended.</summary>
/// <remarks>
/// Resuming after step s keeps the rows up to s and forgets what a killed run did past its last checkpoint. The last line may be torn, as the kill
/// may have come in the middle of it; any other line that cannot be read is an error.
/// </remarks>
internal sealed class MetricsLog : IDisposable
{
    private readonly AppendedFile? _file;
    private readonly List<MetricsRow> _rows;

    private MetricsLog(string? path, List<MetricsRow> rows)
    {
        _rows = rows;
        if (path is null)
            return;
        AtomicFile.WriteText(path, string.Concat(rows.Select(Line)));
        _file = new AppendedFile(path);
    }

    /// <summary>Every row of the run so far, in order, those of the resumed run included.</summary>
    public IReadOnlyList<MetricsRow> Rows => _rows;

    /// <summary>Starts an empty log; an older one is replaced.</summary>
    public static MetricsLog Create(string path) => new(path, []);

    /// <summary>A log that no file has: of ranks beside the first.</summary>
    public static MetricsLog Unwritten() => new(null, []);

    /// <summary>Goes on after <paramref name="step"/> updates. A missing file is an empty one.</summary>
    /// <exception cref="HaloException">A line other than the last cannot be read.</exception>
    public static MetricsLog Resume(string path, int step) => new(path, Read(path).Where(r => r.Step <= step).ToList());

    /// <summary>Reads the rows of a log, without a torn last line.</summary>
    /// <exception cref="HaloException">A line other than the last cannot be read.</exception>
    public static IReadOnlyList<MetricsRow> Read(string path)
    {
        if (!File.Exists(path)) return [];
        FilePlace.RequireRegular(path);
        var lines = File.ReadAllText(path).Split('\n');
        var rows = new List<MetricsRow>();
        for (var i = 0; i < lines.Length - 1; i++) // what follows the last line end is torn, or nothing
        {
            try { rows.Add(JsonSerializer.Deserialize<MetricsRow>(lines[i], JsonText.LogLine) ?? throw new JsonException("null")); }
            catch (JsonException) when (i == lines.Length - 2) { /* torn, with a line end from the same lost block */ }
            catch (JsonException e)
            {
                throw new HaloException("read-metrics", $"{path}, line {i + 1}", "a row of metrics", "text that is none",
                    "Restore the file or remove the line.", e);
            }
        }
        return rows;
    }

    /// <summary>Whether the log has such a row, so that a resumed run does not evaluate twice.</summary>
    public bool Has(MetricsKind kind, int step) => _rows.Exists(r => r.Kind == kind && r.Step == step);

    public void Append(MetricsRow row)
    {
        _file?.Append(Encoding.UTF8.GetBytes(Line(row)));
        _rows.Add(row);
    }

    /// <summary>Brings the rows onto the disk, so that a checkpoint that follows has none missing before it.</summary>
    public void Sync() => _file?.Sync();

    /// <summary>Updates, from the first to the last of <paramref name="steps"/>, without a row; 0 where none is missing.</summary>
    public int Missing(int steps) => steps - _rows.Where(r => r.Kind == MetricsKind.Train && r.Step <= steps).Select(r => r.Step).Distinct().Count();

    public void Dispose() => _file?.Dispose();

    private static string Line(MetricsRow row) => JsonSerializer.Serialize(row, JsonText.LogLine) + "\n";
}
