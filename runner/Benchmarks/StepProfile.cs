using System.Text.Json;

namespace Halo.Runner.Benchmarks;

/// <summary>Where the time of a graph's runs goes, by operator, from a profile that ONNX Runtime wrote.</summary>
/// <param name="Milliseconds">Of one run, by operator, largest first.</param>
internal sealed record StepProfile(IReadOnlyList<(string Operator, double Milliseconds, int Nodes)> Milliseconds)
{
    private const string KernelSuffix = "_kernel_time";

    /// <param name="path">The JSON file.</param>
    /// <param name="skippedRuns">Runs at the beginning that do not count: the first allocates.</param>
    /// <param name="without">Names of nodes that do not count.</param>
    public static StepProfile Read(string path, int skippedRuns, IReadOnlySet<string>? without = null)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(path));
        var runs = 0;
        var times = new Dictionary<string, (double Microseconds, HashSet<string> Nodes)>();
        var pending = new List<(string Operator, string Node, double Microseconds)>();
        foreach (var entry in document.RootElement.EnumerateArray())
        {
            var name = entry.GetProperty("name").GetString()!;
            if (name == "model_run") // written when a run ends
            {
                if (++runs > skippedRuns)
                    pending.ForEach(Add);
                pending.Clear();
            }
            else if (name.EndsWith(KernelSuffix, StringComparison.Ordinal) && without?.Contains(name[..^KernelSuffix.Length]) != true)
            {
                var type = entry.GetProperty("args").GetProperty("op_name").GetString()!;
                pending.Add((type, name[..^KernelSuffix.Length], entry.GetProperty("dur").GetDouble()));
            }
        }
        var counted = Math.Max(1, runs - skippedRuns);
        return new StepProfile([.. times.Select(t => (t.Key, t.Value.Microseconds / 1000 / counted, t.Value.Nodes.Count)).OrderByDescending(t => t.Item2)]);

        void Add((string Operator, string Node, double Microseconds) kernel)
        {
            var (total, nodes) = times.GetValueOrDefault(kernel.Operator, (0, []));
            nodes.Add(kernel.Node);
            times[kernel.Operator] = (total + kernel.Microseconds, nodes);
        }
    }
}
