using System.Text.Json;
using Halo.Models.Bundled;

namespace Halo.Tests.Runner;

/// <summary>Arguments of short runs of the bundled model over the bundled data, and what they leave.</summary>
public sealed class TinyRun : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TinyRun() => LlamaTiny.ExtractTrainingGraph(Graph);

    public string Graph => _folder["training.onnx"];

    public static string Data(string name) => Path.Combine(AppContext.BaseDirectory, "data", "sql", name);

    public string this[string name] => _folder[name];

    /// <summary><c>halo train</c> with halo-0 in FP8 into <paramref name="output"/>.</summary>
    public string[] Train(string output, int steps, params string[] more) =>
    [
        "train", "--model", Graph, "--weights", LlamaTiny.Folder, "--tokenizer", LlamaTiny.Folder, "--data", Data("train.jsonl"), "-o", this[output],
        "--scheme", "halo-0", "--format", "fp8", "--steps", $"{steps}", "--learning-rate", "1e-3", "--warmup-steps", "2", .. more,
    ];

    /// <summary>The same of the model's folder, in micro-batches of 256 tokens where the graph's have 2048.</summary>
    public string[] TrainSmall(string output, int steps, params string[] more) =>
    [
        "train", "--model", LlamaTiny.Folder, "--data", Data("train.jsonl"), "-o", this[output], "--micro-batch-size", "2", "--sequence-length", "128",
        "--scheme", "halo-0", "--format", "fp8", "--steps", $"{steps}", "--learning-rate", "1e-3", "--warmup-steps", "2", .. more,
    ];

    /// <summary>Loss and gradient norm of each update as text: equal text is equal bits.</summary>
    public IReadOnlyList<string> Updates(string output) =>
        [.. File.ReadLines(Path.Combine(this[output], "metrics.jsonl")).Select(l => JsonDocument.Parse(l).RootElement)
            .Where(r => r.GetProperty("kind").GetString() == "train")
            .Select(r => $"{r.GetProperty("step")}: {r.GetProperty("loss").GetRawText()} {r.GetProperty("gradient_norm").GetRawText()}")];

    public void Dispose() => _folder.Dispose();
}
