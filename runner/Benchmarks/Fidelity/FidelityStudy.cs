using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Halo.Io;
using Halo.Models.Bundled;
using Halo.Passes.Canonical.Precision;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Benchmarks.Fidelity;

/// <summary>Fine-tunes the bundled model on the SQL data in every format and level of the published table, each cell by <c>halo train</c>.</summary>
/// <remarks>
/// 4 epochs in batches of 32, 180 updates; AdamW without decay or clipping, peak rate 1e-3, 20 updates of warm-up times a linear decay; float32
/// masters. Validation in batches of 50 rows by <c>halo eval</c>. What was finished or begun in the folder is not done again.
/// </remarks>
/// <param name="folder">Of the study.</param>
/// <param name="jobs">Runs at a time.</param>
/// <param name="threads">Threads of a run.</param>
/// <param name="cells">All of its runs.</param>
/// <param name="device">Where the graphs run.</param>
/// <param name="precision">What they compute in.</param>
internal sealed partial class FidelityStudy(
    string folder, int jobs, int threads, IReadOnlyList<FidelityCell> cells, GraphDevice device, FloatPrecision precision)
{
    private const int FirstLosses = 3;

    private static readonly string Data = Path.Combine(AppContext.BaseDirectory, "data", "sql");

    private string[] Where { get; } = ["--device", ConfigKey.NameOf($"{device}"), "--precision", ConfigKey.NameOf($"{precision}")];

    private string Graph => Path.Combine(folder, "training.onnx");

    private string ResultOf(FidelityCell cell) => Path.Combine(folder, cell.Name + ".json");

    /// <summary>Results so far.</summary>
    public IReadOnlyDictionary<FidelityCell, FidelityResult> Results => cells.Where(cell => File.Exists(ResultOf(cell)))
        .ToDictionary(cell => cell, cell => JsonSerializer.Deserialize<FidelityResult>(File.ReadAllText(ResultOf(cell)))!);

    /// <summary>Runs what is missing, <c>jobs</c> cells at a time.</summary>
    /// <exception cref="InvalidOperationException">A cell failed; its log lies beside it.</exception>
    public void Run(IEnumerable<FidelityCell> wanted)
    {
        Prepare();
        var missing = wanted.Where(cell => !File.Exists(ResultOf(cell))).ToList();
        Parallel.ForEach(missing, new ParallelOptions { MaxDegreeOfParallelism = jobs }, cell =>
        {
            var result = Run(cell);
            AtomicFile.WriteText(ResultOf(cell), JsonSerializer.Serialize(result, JsonText.Indented) + "\n");
            var after = cell.PyTorchAfter?.ToString("F4", CultureInfo.InvariantCulture) ?? "none";
            Console.Error.WriteLine($"{cell.Name}: {result.Before:F4} -> {result.After:F4} (PyTorch {cell.PyTorchBefore:F4} -> {after})");
        });
    }

    /// <summary>Writes the models that cells are trained from, where they are not there.</summary>
    public void Prepare()
    {
        Directory.CreateDirectory(folder);
        if (!File.Exists(Graph))
            LlamaTiny.ExtractTrainingGraph(Graph);
        if (!File.Exists(WeightsOf("tiny-outliers")))
            OutlierVariant.Write(WeightsOf("tiny-outliers"));
    }

    private string WeightsOf(string model) =>
        model == "tiny" ? Path.Combine(LlamaTiny.Folder, "model.safetensors") : Path.Combine(folder, model + ".safetensors");

    private FidelityResult Run(FidelityCell cell)
    {
        var path = Path.Combine(folder, cell.Name);
        string[] train = RunFolder.Is(path) ? ["train", "--resume", "-o", path] :
        [
            "train", "--model", Graph, "--weights", WeightsOf(cell.Model), "--tokenizer", LlamaTiny.Folder, "--data", Path.Combine(Data, "train.jsonl"),
            "-o", path, "--scheme", cell.Scheme, "--format", cell.Format, "--epochs", "4", "--batch-size", "32", "--seed", $"{cell.Seed}",
            "--learning-rate", "1e-3", "--schedule", "linear", "--warmup-steps", "20",
            "--save-every", "15", "--keep-checkpoints", "1", "--threads", $"{threads}", .. Where,
        ];
        if (!IsComplete())
            Halo(cell, train);
        if (!IsComplete())
            throw new InvalidOperationException($"fidelity: '{cell.Name}': training was stopped. Run the study again to go on with it.");
        using var run = RunFolder.Open(path);
        var checkpoints = new Checkpoints(run.Checkpoints, keep: 1);
        var masters = Checkpoints.WeightsOf(checkpoints.PathOf(checkpoints.Newest()!.Step));
        var losses = File.ReadLines(run.Metrics).Select(line => JsonDocument.Parse(line).RootElement).Where(e => e.GetProperty("kind").GetString() == "train")
            .Take(FirstLosses).Select(e => e.GetProperty("loss").GetDouble());
        return new FidelityResult(Evaluate(cell, WeightsOf(cell.Model)), Evaluate(cell, masters), [.. losses]);

        bool IsComplete() => RunFolder.Is(path) && Directory.Exists(RunFolder.Open(path).Model);
    }

    private double Evaluate(FidelityCell cell, string weights)
    {
        var line = Halo(cell, ["eval", "--model", Graph, "--weights", weights, "--tokenizer", LlamaTiny.Folder, "--data", Path.Combine(Data, "valid.jsonl"),
            "--scheme", cell.Scheme, "--format", cell.Format, "--batch-size", "50", "--threads", $"{threads}", .. Where]);
        return double.Parse(LossInLine().Match(line).Groups[1].Value, CultureInfo.InvariantCulture);
    }

    /// <summary>Runs this executable with other arguments; what it says on stderr goes to the cell's log.</summary>
    private string Halo(FidelityCell cell, string[] arguments)
    {
        var executable = Environment.ProcessPath!;
        var start = new ProcessStartInfo(executable) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(executable) == "dotnet")
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "halo.dll"));
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        var log = Path.Combine(folder, cell.Name + ".log");
        using var lines = new StreamWriter(log, append: true) { AutoFlush = true };
        using var process = new Process { StartInfo = start };
        process.ErrorDataReceived += (_, line) => lines.WriteLine(line.Data);
        process.Start();
        process.BeginErrorReadLine();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? output
            : throw new InvalidOperationException($"fidelity: '{cell.Name}': halo {arguments[0]} ended with {process.ExitCode}; see {log}.");
    }

    [GeneratedRegex("loss ([0-9.]+)")]
    private static partial Regex LossInLine();
}
