using System.CommandLine;
using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Runs;
using Halo.Serialization;

namespace Halo.Runner.Cli;

/// <summary><c>halo eval</c>: loss and perplexity of a run, an artifact or a training graph on chat data.</summary>
internal static class EvalVerb
{
    private static readonly string[] Used = ["model", "weights", "tokenizer", "data", "scheme", "format", "pipeline", "batch_size", "threads", "device", "operators"];

    public static Command Command()
    {
        var command = new Command("eval",
            "Loss and perplexity on chat data, by the graph that training would use. --model takes a run, an artifact or a training graph.");
        var options = new ConfigOptions(command, [.. Training.Config.ConfigKey.OfTrainConfig.Select(k => k.Name).Except(Used)]);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed, "data");
            SessionSettings.Require(config.Device);
            if (config.BatchSize is not null && Directory.Exists(config.Model))
            {
                throw new HaloException("eval", "--batch-size", "a training graph as --model", "a folder whose evaluation graph has its batch",
                    "Give the exported training graph with --weights, --scheme and --format.");
            }
            if (RunFolder.Is(config.Model))
            {
                var run = RunFolder.Open(config.Model);
                var newest = new Checkpoints(run.Checkpoints, keep: 1).Newest();
                var model = TrainConfig.Load(run.Config).Model;
                var artifact = TrainingArtifact.Open(TrainingArtifact.Is(model) ? model : run.Artifact);
                return Run(artifact,
                    newest is null ? artifact.Checkpoint : Checkpoints.WeightsOf(new Checkpoints(run.Checkpoints, 1).PathOf(newest.Step)), config);
            }
            if (TrainingArtifact.Is(config.Model))
            {
                var artifact = TrainingArtifact.Open(config.Model);
                return Run(artifact, config.Weights ?? artifact.Checkpoint, config);
            }
            var temporary = Directory.CreateTempSubdirectory("halo-eval-").FullName;
            try
            {
                return Run(TrainingArtifact.Write(config, Path.Combine(temporary, "artifact")), config.Weights!, config);
            }
            finally
            {
                Directory.Delete(temporary, recursive: true);
            }
        });
        return command;
    }

    private static int Run(TrainingArtifact artifact, string weightsPath, TrainConfig config)
    {
        var @interface = TrainingInterface.Of(OnnxReader.Read(artifact.TrainingModel).Graph, artifact.TrainingModel);
        var data = new RunData(artifact.Checkpoint, @interface);
        var rows = data.Load(config.Data!);
        using var parameters = new ParameterBuffers(@interface.Parameters, device: config.Device);
        using (var weights = CheckpointReader.Open(weightsPath))
            parameters.Load(weightsPath, weights.Tensors);
        var batchSize = config.BatchSize ?? @interface.Rows;
        var copies = (batchSize + @interface.Rows - 1) / @interface.Rows;
        var settings = new SessionSettings { Device = config.Device, Replays = true, Threads = config.Threads, Operators = config.Operators };
        var session = copies == 1 ? new GraphSession(artifact.EvalModel, settings)
            : new GraphSession("widened evaluation graph", OnnxWriter.ToBytes(EvaluationGraph.Widened(config.Model, copies, TrainingArtifact.PassesOf(config))), settings);
        using var evaluator = new Evaluator(session, @interface, parameters, copies);
        var (loss, counted) = evaluator.Loss(data.ForEvaluation(rows, batchSize).Epoch());
        Console.WriteLine($"loss {loss:F4} | perplexity {Math.Exp(loss):G5} | {counted} tokens of {rows.Rows.Count} rows");
        return ExitCode.Done;
    }
}
