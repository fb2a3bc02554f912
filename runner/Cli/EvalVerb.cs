using System.CommandLine;
using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Runs;
using Halo.Serialization;

namespace Halo.Runner.Cli;

/// <summary><c>halo eval</c>: loss and perplexity of a run, an artifact, a graph or a Hugging Face folder on chat data.</summary>
internal static class EvalVerb
{
    private static readonly string[] Used = ["model", "weights", "tokenizer", "data", "micro_batch_size", "sequence_length", "scheme", "format", "pipeline", "rederive", "batch_size", "threads", "device", "operators"];

    public static Command Command()
    {
        var command = new Command("eval",
            "Loss and perplexity on chat data, by the graph that training would use. --model takes a run, an artifact, a graph or a Hugging Face folder.");
        var options = new ConfigOptions(command, [.. Training.Config.ConfigKey.OfTrainConfig.Select(k => k.Name).Except(Used)]);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed, "data");
            if (config.BatchSize is not null && (RunFolder.Is(config.Model) || TrainingArtifact.Is(config.Model)))
            {
                throw new HaloException("eval", "--batch-size", "a graph or a Hugging Face folder as --model", "a folder whose evaluation graph has its batch",
                    "Give the model that it was prepared from, with --weights, --scheme and --format.");
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
                return Run(TrainingArtifact.Write(config, Path.Combine(temporary, "artifact")), TrainingArtifact.WeightsOf(config), config);
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
        using var parameters = new ParameterBuffers(@interface.Parameters);
        using (var weights = weightsPath == artifact.Checkpoint ? artifact.OpenWeights() : CheckpointReader.Open(weightsPath))
            parameters.Load(weightsPath, weights.Tensors);
        var batchSize = config.BatchSize ?? @interface.Rows;
        var copies = (batchSize + @interface.Rows - 1) / @interface.Rows;
        var settings = new SessionSettings { Threads = config.Threads, Operators = config.Operators };
        var session = copies == 1 ? new GraphSession(artifact.EvalModel, settings)
            : new GraphSession("widened evaluation graph", OnnxWriter.ToBytes(EvaluationGraph.Widened(TrainingGraphSource.Of(config), copies, TrainingArtifact.PassesOf(config))), settings);
        using var evaluator = new Evaluator(session, @interface, parameters, copies);
        var (loss, counted) = evaluator.Loss(data.ForEvaluation(rows, batchSize).Epoch());
        Console.WriteLine($"loss {loss:F4} | perplexity {Math.Exp(loss):G5} | {counted} tokens of {rows.Rows.Count} rows");
        return ExitCode.Done;
    }
}
