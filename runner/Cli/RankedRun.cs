using Halo.Runner.Artifacts;
using Halo.Runner.Distributed;
using Halo.Runner.Plans;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training;

namespace Halo.Runner.Cli;

/// <summary>A run of <c>halo train</c> that several ranks share: rank 0 writes what is written once, the others join it.</summary>
internal static class RankedRun
{
    /// <summary>Launchers end all ranks as soon as one has ended with an error: the one that says why goes first.</summary>
    private const int EndMilliseconds = 500;

    /// <summary>Of processes that a launcher started. It may tell them to end as soon as one has: what that one met is said before.</summary>
    /// <param name="launch">This process's place among them.</param>
    /// <param name="config">How they meet.</param>
    /// <param name="begin">Makes the run's folder, or opens it to go on; of rank 0.</param>
    /// <param name="join">This rank's settings for the run that rank 0 has begun.</param>
    public static int Train(Launch launch, TrainConfig config, Func<(TrainConfig Config, RunFolder Run)> begin, Func<RunFolder, TrainConfig> join)
    {
        using var signals = new StopSignals(TimeSpan.FromSeconds(config.RankTimeout));
        using var world = launch.Join(config);
        return Train(world, begin, join, signals);
    }

    /// <param name="world">The ranks.</param>
    /// <param name="begin">Makes the run's folder, or opens it to go on; of rank 0.</param>
    /// <param name="join">This rank's settings for the run that rank 0 has begun.</param>
    /// <param name="signals">To end; null: heard while it trains.</param>
    public static int Train(World world, Func<(TrainConfig Config, RunFolder Run)> begin, Func<RunFolder, TrainConfig> join, StopSignals? signals = null)
    {
        try
        {
            world.Watch(text => Console.Error.WriteLine($"error: {text}"));
            using var opened = Open(world, begin, join);
            var outcome = TrainVerb.Trained(opened, signals);
            if (world.IsFirst)
                Console.WriteLine(TrainVerb.Result(outcome, opened));
            return outcome.IsComplete ? ExitCode.Done : ExitCode.Interrupted;
        }
        catch (Exception e)
        {
            var end = world.End(e);
            if (end is RankFailedException)
                Thread.Sleep(EndMilliseconds);
            throw end;
        }
    }

    private static OpenedRun Open(World world, Func<(TrainConfig Config, RunFolder Run)> begin, Func<RunFolder, TrainConfig> join)
    {
        (TrainConfig Config, RunFolder Run)? begun = null;
        try
        {
            world.Together("begin", () => begun = world.IsFirst ? begin() : null);
            var path = world.FromFirst("folder", begun?.Run.Path ?? "");
            var (config, run) = begun ??= (join(RunFolder.Open(path)), RunFolder.Open(path));
            config = config with { Output = run.Path, Shard = world.Plan.Mode };
            world.Together("device", () => new Device(config.Device).Require(config.Precision));
            world.Together("prepare", () => _ = world.IsFirst ? TrainVerb.Prepared(config, run).Artifact : null);
            var artifact = TrainingArtifact.Is(config.Model) ? TrainingArtifact.OpenFor(config) : run.OpenArtifact(config);
            TrainingPlan? plan = null;
            world.Together("plan", () =>
            {
                plan = artifact.PlanFor(config, world);
                RankGraphs.Require("train", config, plan.Interface.HasAdapters);
                OpenedRun.RequireRows(plan, world);
                if (plan.Interface.HasAdapters)
                    world.TrainAdapters();
            });
            return OpenedRun.Open(plan!, artifact, run, world.IsFirst ? Console.Error.WriteLine : _ => { });
        }
        catch
        {
            begun?.Run.Discard();
            begun?.Run.Dispose();
            throw;
        }
    }
}
