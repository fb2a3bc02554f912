using System.CommandLine;
using Halo.Io;
using Halo.Passes.Rewrite;
using Halo.Runner.Artifacts;
using Halo.Runner.Plans;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Cli;

/// <summary><c>halo prepare</c>: writes the artifact that a run needs, without running it.</summary>
internal static class PrepareVerb
{
    public static Command Command()
    {
        var command = new Command("prepare", "Write a training artifact: rewritten training graph, evaluation graph, optimizer graph, weights, manifest.");
        var options = new ConfigOptions(command, ConfigUse.Prepare);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed, "output");
            Outputs.Check("prepare", [("--output", config.Output)], config.Model, config.Weights, config.Tokenizer);
            OwnedFolder.CheckReplaceable(config.Output!, TrainingArtifact.Kind);
            var plan = TrainingPlan.Of(config, Console.Error.WriteLine);
            var artifact = TrainingArtifact.Write(plan, config.Output!, Console.Error.WriteLine);
            Console.Error.WriteLine(LinearReport.Line(plan.Training.Graph));
            Console.WriteLine(artifact.Folder);
            return ExitCode.Done;
        });
        return command;
    }
}
