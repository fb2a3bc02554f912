using Halo.Runner.Artifacts;
using Halo.Runner.Distributed;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training;

namespace Halo.Runner.Cli;

/// <summary>A run of <c>halo train</c> that several ranks share: rank 0 writes what is written once, the others join it.</summary>
internal static class RankedRun
{
    /// <param name="world">The ranks.</param>
    /// <param name="begin">Makes the run's folder, or opens it to go on; of rank 0.</param>
    /// <param name="join">This rank's settings for the run that rank 0 has begun.</param>
    public static int Train(World world, Func<(TrainConfig Config, RunFolder Run)> begin, Func<RunFolder, TrainConfig> join)
    {
        try
        {
            using var opened = Open(world, begin, join);
            var outcome = TrainVerb.Trained(opened);
            if (world.IsFirst)
                Console.WriteLine(TrainVerb.Result(outcome, opened));
            return outcome.IsComplete ? ExitCode.Done : ExitCode.Interrupted;
        }
        catch (Exception e)
        {
            world.Communicator.Fail(e.Message);
            throw;
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
            new Device(config.Device).Require(config.Precision);
            world.Together("prepare", () => _ = world.IsFirst ? TrainVerb.Prepared(config, run).Artifact : null);
            var artifact = TrainingArtifact.Is(config.Model) ? TrainingArtifact.OpenFor(config) : run.OpenArtifact(config);
            return OpenedRun.Open(artifact.PlanFor(config, world), artifact, run, world.IsFirst ? Console.Error.WriteLine : _ => { });
        }
        catch
        {
            begun?.Run.Discard();
            begun?.Run.Dispose();
            throw;
        }
    }
}
