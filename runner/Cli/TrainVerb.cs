using System.CommandLine;
using Halo.Passes.Rewrite;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Distributed;
using Halo.Runner.Memory;
using Halo.Runner.Plans;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Metrics;

namespace Halo.Runner.Cli;

/// <summary><c>halo train</c>: fine-tunes a model, or goes on with a run.</summary>
internal static class TrainVerb
{
    public static Command Command()
    {
        var command = new Command("train", "Fine-tune: a Hugging Face folder, or a graph and weights, and chat data in, a fine-tuned Hugging Face folder out.");
        var options = new ConfigOptions(command, ConfigUse.Train);
        var resume = new Option<string?>("--resume")
        {
            Description = "Go on with a run (that in --output, where none is named) from its newest checkpoint. With settings such as --learning-rate, or "
                + "another --output: as a new run in --output, which begins with the weights and moments of the checkpoint.",
            Arity = ArgumentArity.ZeroOrOne,
            HelpName = "RUN",
        };
        var from = new Option<int?>("--from-step")
        {
            Description = "With --resume RUN: the checkpoint to begin the new run with, by its step.",
            HelpName = "N",
        };
        var dryRun = new Option<bool>("--dry-run") { Description = "Rewrite the graph and read the data, print what would be done, and write nothing." };
        var schema = new Option<bool>("--schema") { Description = "Print the JSON schema of the YAML config and end." };
        command.Add(resume);
        command.Add(from);
        command.Add(dryRun);
        command.Add(schema);
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(schema))
            {
                Console.WriteLine(TrainConfig.Schema());
                return ExitCode.Done;
            }
            if (parsed.GetResult(resume) is { Implicit: false })
            {
                if (parsed.GetValue(dryRun))
                    throw new HaloException("resume", "--dry-run", "a new run with it", "--resume", "Leave one of them out.");
                var given = options.Given(parsed);
                if (options.File(parsed) is { } file)
                    given["config"] = file;
                var named = parsed.GetValue(resume);
                return Resume(named ?? given.GetValueOrDefault("output"), Taken(given, OfRanks),
                    () => named is null ? Resumed(given) : GoneOn(named, given, parsed.GetValue(from)));
            }
            if (parsed.GetValue(from) is not null)
                throw new HaloException("train", "--from-step", "--resume RUN with it", "a new run", "Leave it out, or name the run to go on from.");
            var fresh = options.Read(parsed, "data", "output");
            Outputs.Check("train", [("--output", fresh.Output)],
                [fresh.Model, fresh.Weights, fresh.Adapter, fresh.Tokenizer, .. DataFiles.Named(fresh.Data), .. DataFiles.Named(fresh.Valid)]);
            if (parsed.GetValue(dryRun))
                return DryRun(fresh);
            (TrainConfig, RunFolder) Begin() => (fresh, RunFolder.Create(fresh.Output!, fresh.ToYaml()));
            return Launch.Of(Environment.GetEnvironmentVariable) is { } launch ? RankedRun.Train(launch, fresh, Begin, _ => fresh) : Run(Begin());
        });
        return command;
    }

    /// <summary>Settings that a run may go on with, whatever it began with: they are those of the ranks that happen to share it.</summary>
    private static readonly string[] OfRanks = ["shard", "rank_carrier", "rank_timeout"];

    private static Dictionary<string, string> Taken(IDictionary<string, string> given, IEnumerable<string> keys) =>
        keys.Where(given.ContainsKey).ToDictionary(key => key, key => given.Remove(key, out var value) ? value : "");

    /// <summary>Goes on with a run; what is split over ranks may be another than before.</summary>
    private static int Resume(string? path, IReadOnlyDictionary<string, string> ofRanks, Func<(TrainConfig Config, RunFolder Run)> begin)
    {
        var launch = Launch.Of(Environment.GetEnvironmentVariable);
        var kept = launch is null || path is null ? null : TrainConfig.Load(RunFolder.Open(path).Config,
            ofRanks, "data", "output");
        return kept is null ? Run(begin()) : RankedRun.Train(launch!, kept, begin, run => run.ReadConfig());
    }

    /// <summary>Trains with a line on stderr for what is done, and the result on stdout.</summary>
    private static int Run((TrainConfig Config, RunFolder Run) begun)
    {
        using var opened = Open(begun.Config, begun.Run);
        var outcome = Trained(opened);
        Console.WriteLine(Result(outcome, opened));
        return outcome.IsComplete ? ExitCode.Done : ExitCode.Interrupted;
    }

    /// <summary>The line on stdout.</summary>
    public static string Result(TrainingOutcome outcome, OpenedRun opened)
    {
        var run = opened.Run;
        var made = opened.Plan.Interface.HasAdapters ? $"adapter in {run.Adapter}" : $"model in {run.Model}";
        return outcome.IsComplete ? $"done: {outcome.Step} steps{(outcome.EndedEarly ? $" of {outcome.TotalSteps}, ended by patience" : "")}{Losses(outcome)}"
                + $"{(outcome.Taken is { } taken ? $", the best at step {taken}" : "")}; {made}, report in {run.Report}"
            : $"stopped after step {outcome.Step} of {outcome.TotalSteps}; go on with: halo train --resume -o {run.Path}";
    }

    /// <summary>Trains; a run that fails says how it can be gone on with.</summary>
    /// <param name="opened">All that it works with.</param>
    /// <param name="signals">That were heard from earlier on; null: from here on.</param>
    public static TrainingOutcome Trained(OpenedRun opened, StopSignals? signals = null)
    {
        try
        {
            return signals is null ? Train(Shown(opened)) : Shown(opened).Run(signals.Take());
        }
        catch (TrainingFailedException e) when (opened.Checkpoints.Newest() is { } state)
        {
            throw new TrainingFailedException(
                $"{e.Message} 'halo train --resume {opened.Run.Path} --learning-rate X --output NEW' goes on from step {state.Step}.");
        }
    }

    /// <summary>As <see cref="RunStart.Open"/>, with lines on stderr for what is done.</summary>
    public static OpenedRun Open(TrainConfig config, RunFolder run) => RunStart.Open(config, run, Console.Error.WriteLine, plan => Mask(plan, config, run));

    /// <summary>As <see cref="RunStart.Prepared"/>, with lines on stderr for what is done.</summary>
    public static (TrainingPlan Plan, TrainingArtifact Artifact) Prepared(TrainConfig config, RunFolder run) =>
        RunStart.Prepared(config, run, Console.Error.WriteLine, plan => Mask(plan, config, run));

    private static void Mask(TrainingPlan plan, TrainConfig config, RunFolder run)
    {
        if (plan.Adapter is { Config.Density: > 0, Folder: null } adapter)
            adapter.Mask = RosaMask.Of(config, adapter.Layers, run, Console.Error.WriteLine);
    }

    /// <summary>A trainer whose progress stderr shows.</summary>
    public static Trainer Shown(OpenedRun opened) => new(opened, new TrainingProgress(opened.TotalSteps, opened.Plan.Config.LogEvery));

    /// <summary>Runs the loop; the first SIGINT or SIGTERM ends it after the update at hand, a second one ends the process.</summary>
    public static TrainingOutcome Train(Trainer trainer)
    {
        using var signals = new StopSignals(Timeout.InfiniteTimeSpan);
        return trainer.Run(signals.Take());
    }

    public static string Losses(TrainingOutcome outcome) =>
        outcome is { Before: { } before, After: { } after } ? $", validation loss {before:F4} -> {after:F4}" : "";

    private static (TrainConfig Config, RunFolder Run) Resumed(Dictionary<string, string> given)
    {
        if (!given.Remove("output", out var output))
            throw new HaloException("resume", "--output", "the folder of a run", "none", "Give -o RUN.");
        var run = RunFolder.Open(output);
        if (given.Count > 0)
        {
            throw new HaloException("resume", $"--{given.Keys.First().Replace('_', '-')}", "no settings but the run's own", "a setting",
                $"A run goes on as it began, by {run.Config}; 'halo train --resume {output} --learning-rate X --output NEW' goes on with other settings, as a "
                    + "new run.");
        }
        return InPlace(output);
    }

    /// <summary>The run itself where nothing is asked for but to go on; else a branch of it.</summary>
    private static (TrainConfig Config, RunFolder Run) GoneOn(string path, Dictionary<string, string> given, int? step)
    {
        if (given.ContainsKey("config"))
            throw new HaloException("resume", "--config", "settings as options", "a file of settings", "Give those that are to change as options.");
        given.Remove("output", out var output);
        var isElsewhere = output is not null && Path.GetFullPath(output).TrimEnd('/') != Path.GetFullPath(path).TrimEnd('/');
        if (given.Count == 0 && step is null && !isElsewhere)
            return InPlace(path);
        if (output is not null && !isElsewhere)
            throw new HaloException("resume", "--output", "another folder than the run's, as its settings are to change", "the run's", "Choose another.");
        if (given.TryGetValue("valid", out var valid))
            given["valid"] = DataFiles.Absolute(valid);
        output ??= RunBranch.FreeName(path);
        var branch = RunBranch.Begin(path, given, output, step);
        Console.Error.WriteLine($"{branch.Run.Path}: goes on from step {branch.Run.Record.Branch!.Step} of {path}"
            + string.Concat(branch.Run.Record.Branch.Changed.Select(c => $"; {c.Key} {c.Value.From ?? "null"} -> {c.Value.To ?? "null"}")));
        return branch;
    }

    private static (TrainConfig Config, RunFolder Run) InPlace(string path)
    {
        var resumed = RunFolder.Resume(path);
        try
        {
            return (resumed.ReadConfig(), resumed);
        }
        catch
        {
            resumed.Dispose();
            throw;
        }
    }

    private static int DryRun(TrainConfig config)
    {
        if (TrainingArtifact.Is(config.Model))
        {
            throw new HaloException("train", "--dry-run", "a graph or a Hugging Face folder as --model", "an artifact",
                "Its manifest.json says what it holds.");
        }
        var plan = TrainingPlan.Of(config, Console.Error.WriteLine);
        var rows = plan.Data.Load(config.Data!);
        var batches = plan.Data.ForTraining(rows, plan.BatchSize, config.Seed);
        var parameters = plan.Interface.Parameters.Sum(p => p.Shape.ElementCount!.Value);
        var trained = plan.UpdatedParameters.Sum(p => p.Shape.ElementCount!.Value);
        var memory = PlannedMemory.Of(plan);
        Console.Error.Write(config.ToYaml());
        Console.Error.WriteLine(LinearReport.Line(plan.Training.Graph));
        foreach (var line in rows.Notes.Prepend(rows.Summary))
            Console.Error.WriteLine(line);
        if (batches.PackingSummary() is { } packing)
            Console.Error.WriteLine(packing);
        Console.WriteLine($"would train {trained:N0} of {parameters:N0} parameters for {config.TotalSteps(batches.BatchesPerEpoch)} steps "
            + $"over {rows.Rows.Count} rows ({rows.Tokens} tokens); needs {MemorySize.Text(memory.PeakBytes)} of memory:");
        foreach (var line in MemoryText.Table(memory))
            Console.WriteLine(line);
        return ExitCode.Done;
    }
}
