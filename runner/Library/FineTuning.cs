using Halo.Runner.Runs;
using Halo.Runner.Training.Metrics;

namespace Halo.Training;

/// <summary>Fine-tunes a model in this process.</summary>
public static class FineTuning
{
    /// <summary>Begins a run in a new folder, and trains to its end or until <paramref name="stop"/>.</summary>
    /// <param name="config">Model, data and output; what else is set has the meaning that <c>halo train --schema</c> gives it.</param>
    /// <param name="progress">Is given a row after every update and every evaluation, in the thread that trains.</param>
    /// <param name="say">Takes lines about what is done around them; null: nobody is told.</param>
    /// <param name="stop">Ends the run after the update at hand; what was done is saved, and <see cref="Resume"/> goes on with it bit for bit.</param>
    /// <exception cref="HaloException">Settings, graph, weights or data are not right: nothing was trained, and no new folder is left.</exception>
    /// <exception cref="TrainingFailedException">A loss or gradient is not finite. The last checkpoint stands.</exception>
    public static FineTuned Run(
        TrainConfig config, Action<MetricsRow>? progress = null, Action<string>? say = null, CancellationToken stop = default)
    {
        var held = TrainConfig.Parse(config.ToYaml(), nameof(config), null, "data", "output"); // ranges, and keys at odds with each other
        Outputs.Check("train", [(nameof(held.Output), held.Output)], held.Model, held.Weights, held.Adapter, held.Tokenizer, held.Data, held.Valid);
        return Train(held, RunFolder.Create(held.Output!, held.ToYaml()), progress, say, stop);
    }

    /// <summary>Goes on with a run that was stopped or killed, from its newest checkpoint, by its own settings.</summary>
    /// <param name="run">The folder that <see cref="Run"/> or <c>halo train</c> wrote.</param>
    /// <param name="progress">As of <see cref="Run"/>.</param>
    /// <param name="say">As of <see cref="Run"/>.</param>
    /// <param name="stop">As of <see cref="Run"/>.</param>
    /// <exception cref="HaloException">The folder is no run, is damaged, or is trained by another process.</exception>
    /// <exception cref="TrainingFailedException">A loss or gradient is not finite. The last checkpoint stands.</exception>
    public static FineTuned Resume(string run, Action<MetricsRow>? progress = null, Action<string>? say = null, CancellationToken stop = default)
    {
        var resumed = RunFolder.Resume(run);
        TrainConfig config;
        try
        {
            config = resumed.ReadConfig();
        }
        catch
        {
            resumed.Dispose();
            throw;
        }
        return Train(config, resumed, progress, say, stop);
    }

    private static FineTuned Train(TrainConfig config, RunFolder run, Action<MetricsRow>? progress, Action<string>? say, CancellationToken stop)
    {
        using var opened = RunStart.Open(config, run, say ?? (_ => { }), plan =>
        {
            if (plan.Adapter is { Config.Density: > 0, Folder: null })
                throw new HaloException("train", "adapter_kind", "lora, dora or efqat from C#", "rosa", "Train it with 'halo train'.");
        });
        var outcome = new Trainer(opened, new Told(progress, say)).Run(stop);
        return new FineTuned(run.Path, opened.Plan.Interface.HasAdapters ? run.Adapter : run.Model, run.Report, outcome.Step, outcome.TotalSteps,
            outcome.Before, outcome.After);
    }

    private sealed class Told(Action<MetricsRow>? progress, Action<string>? say) : TrainingDisplay
    {
        public override void Say(string line) => say?.Invoke(line);

        public override void Report(MetricsRow value) => progress?.Invoke(value);
    }
}

/// <summary>What a run came to.</summary>
/// <param name="Run">The run's folder, which <see cref="ModelExport"/> and <see cref="HaloModel"/> take.</param>
/// <param name="Model">The fine-tuned Hugging Face folder, or the adapter's; there once the run is complete.</param>
/// <param name="Report">The run as a page of HTML.</param>
/// <param name="Step">Updates done.</param>
/// <param name="TotalSteps">Updates asked for.</param>
/// <param name="LossBefore">Validation loss before the first update, in nats a token; null without validation data.</param>
/// <param name="LossAfter">Validation loss after the last one; null without validation data, or where the run was stopped.</param>
public sealed record FineTuned(string Run, string Model, string Report, int Step, int TotalSteps, double? LossBefore, double? LossAfter)
{
    /// <summary>False where the run was stopped before its end.</summary>
    public bool IsComplete => Step == TotalSteps;
}
