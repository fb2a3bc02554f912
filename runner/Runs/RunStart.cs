using Halo.Runner.Artifacts;
using Halo.Runner.Plans;
using Halo.Runner.Sessions;

namespace Halo.Runner.Runs;

/// <summary>What lies between the settings of a run and its first update.</summary>
internal static class RunStart
{
    /// <param name="config">Of the run.</param>
    /// <param name="run">Its folder.</param>
    /// <param name="say">Takes lines about what is done.</param>
    /// <param name="planned">Is given a new plan before it is written.</param>
    /// <summary>From config to plan, artifact and all that is open while a run trains. What is refused here leaves no new run behind.</summary>
    public static OpenedRun Open(TrainConfig config, RunFolder run, Action<string> say, Action<TrainingPlan> planned)
    {
        try
        {
            new Device(config.Device).Require(config.Precision);
            var (plan, artifact) = Prepared(config, run, say, planned);
            return OpenedRun.Open(plan, artifact, run, say);
        }
        catch
        {
            run.Discard();
            run.Dispose();
            throw;
        }
    }

    /// <summary>The plan and its written form: the artifact that is the model, that of a run that is gone on with, or a new one.</summary>
    public static (TrainingPlan Plan, TrainingArtifact Artifact) Prepared(TrainConfig config, RunFolder run, Action<string> say, Action<TrainingPlan> planned)
    {
        RunFolder.CheckMarked(run.Artifact);
        var written = TrainingArtifact.Is(config.Model) ? TrainingArtifact.OpenFor(config)
            : TrainingArtifact.Is(run.Artifact) ? run.OpenArtifact(config) : null;
        if (written is not null)
            return (written.PlanFor(config), written);
        var plan = TrainingPlan.Of(config, say);
        planned(plan);
        return (plan, TrainingArtifact.Write(plan, run.Artifact, say));
    }
}
