using System.Text.Json;
using Halo.CustomOps;
using Halo.Models.Bundled;
using Halo.Passes.Sharding;
using Halo.Runner.Cli;
using Halo.Runner.Distributed;
using Halo.Runner.Runs;
using Halo.Runner.Training;

namespace Halo.Tests.Runner.Distributed;

/// <summary>Runs of the bundled model by ranks that are threads of this process.</summary>
public sealed class RankThreads : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public RankThreads()
    {
        File.WriteAllLines(Data, File.ReadLines(TinyRun.Data("train.jsonl")).Take(64));
        File.WriteAllLines(Valid, File.ReadLines(TinyRun.Data("valid.jsonl")).Take(5));
    }

    public string this[string name] => _folder[name];

    /// <summary>More rows than a run of three updates reads: what is tokenized beyond that is time alone.</summary>
    public string Data => _folder["train.jsonl"];

    /// <summary>Five rows: three micro-batches.</summary>
    public string Valid => _folder["valid.jsonl"];

    /// <summary>Settings of a short run: updates of four micro-batches of two rows.</summary>
    internal TrainConfig Config(string output, int steps, params (string Key, string Value)[] more)
    {
        var settings = new Dictionary<string, string>
        {
            ["model"] = LlamaTiny.Folder,
            ["data"] = Data,
            ["output"] = this[output],
            ["batch_size"] = "8",
            ["micro_batch_size"] = "2",
            ["sequence_length"] = "64",
            ["steps"] = $"{steps}",
            ["learning_rate"] = "1e-3",
            ["clip_norm"] = "1",
            ["threads"] = "1",
        };
        foreach (var (key, value) in more)
            settings[key] = value;
        return TrainConfig.Load(null, settings, "data", "output");
    }

    /// <summary>Trains by one rank, or by several.</summary>
    internal void Train(TrainConfig config, int ranks, int nodeRanks = 0, bool resume = false)
    {
        (TrainConfig, RunFolder) Begin() => resume ? (RunFolder.Open(config.Output!).ReadConfig(), RunFolder.Resume(config.Output!))
            : (config, RunFolder.Create(config.Output!, config.ToYaml()));
        if (ranks == 1)
        {
            var (own, run) = Begin();
            using var opened = TrainVerb.Open(own, run);
            TrainVerb.Trained(opened);
            return;
        }
        var plan = new ShardPlan(config.Shard, ranks, 0, nodeRanks == 0 ? ranks : nodeRanks) { Lookups = config.ShardLookups };
        Each(ranks, nodeRanks, plan, world => RankedRun.Train(world, Begin, run => resume ? run.ReadConfig() : config));
    }

    /// <summary>Lets each rank do something; the first problem is thrown.</summary>
    internal static void Each(int ranks, int nodeRanks, ShardMode mode, Action<World> act) =>
        Each(ranks, nodeRanks, new ShardPlan(mode, ranks, 0, nodeRanks == 0 ? ranks : nodeRanks), act);

    internal static void Each(int ranks, int nodeRanks, ShardPlan plan, Action<World> act)
    {
        var communicators = Communicator.Threads(ranks, nodeRanks, timeoutSeconds: 60);
        var problems = new Exception?[ranks];
        var threads = communicators.Select((communicator, rank) => new Thread(() =>
        {
            try
            {
                using var world = new World(plan.For(rank), communicator);
                act(world);
            }
            catch (Exception e)
            {
                problems[rank] = e;
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (problems.Any(p => p is not null))
            throw new AggregateException(problems.OfType<Exception>());
    }

    /// <summary>Loss and gradient norm of each update, and the losses of evaluations.</summary>
    internal IReadOnlyList<double> Numbers(string output) => NumbersOf(this[output]);

    /// <summary>The same of a run by its folder.</summary>
    internal static IReadOnlyList<double> NumbersOf(string run) =>
        [.. File.ReadLines(Path.Combine(run, "metrics.jsonl")).Select(l => JsonDocument.Parse(l).RootElement)
            .SelectMany(r => r.TryGetProperty("gradient_norm", out var norm) ? new[] { r.GetProperty("loss").GetDouble(), norm.GetDouble() }
                : [r.GetProperty("loss").GetDouble()])];

    /// <summary>Losses alone.</summary>
    internal static IReadOnlyList<double> LossesOf(string run) =>
        [.. File.ReadLines(Path.Combine(run, "metrics.jsonl")).Select(l => JsonDocument.Parse(l).RootElement.GetProperty("loss").GetDouble())];

    public void Dispose() => _folder.Dispose();
}
