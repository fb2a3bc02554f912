using System.CommandLine;
using Halo.Runner.Artifacts;

namespace Halo.Runner.Cli;

/// <summary><c>halo prepare</c>: writes the artifact that a run needs, without running it.</summary>
internal static class PrepareVerb
{
    private static readonly string[] Unused =
        ["data", "valid", "epochs", "steps", "batch_size", "seed", "learning_rate", "schedule", "warmup_steps", "min_lr_ratio", "decay_fraction", "eval_every",
            "save_every", "keep_checkpoints", "log_every", "threads", "device"];

    public static Command Command()
    {
        var command = new Command("prepare", "Write a training artifact: rewritten training graph, evaluation graph, optimizer graph, weights, manifest.");
        var options = new ConfigOptions(command, Unused);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed, "output");
            var artifact = TrainingArtifact.Write(config, config.Output!, Console.Error.WriteLine);
            Console.Error.WriteLine(Passes.Rewrite.LinearReport.Line(Serialization.OnnxReader.Read(artifact.TrainingModel).Graph));
            Console.WriteLine(artifact.Folder);
            return ExitCode.Done;
        });
        return command;
    }
}
