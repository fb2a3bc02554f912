using System.CommandLine;
using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Export;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Engine;
using Halo.Runner.Training.Runs;
using Halo.Serialization;

namespace Halo.Runner.Cli;

/// <summary>
/// <c>halo eval</c>: loss and perplexity of a model, a run, an artifact, a training graph or an inference folder on chat data, and exact match.
/// </summary>
internal static class EvalVerb
{
    private static readonly string[] Used =
    [
        "model", "weights", "tokenizer", "data", "scheme", "format", "pipeline", "rederive", "precision", "batch_size", "micro_batch_size", "sequence_length",
        "threads", "device", "operators",
    ];

    public static Command Command()
    {
        var command = new Command("eval",
            "Loss and perplexity on chat data, by the graph that training would use. --model takes a Hugging Face folder, a graph, a run, an artifact, or an "
            + "inference folder of halo export, whose own graph is used.");
        var exactMatch = new Option<bool>("--exact-match")
        {
            Description = "Also answer each conversation up to its last assistant message, greedily, and count the answers that are that message. "
                + "An inference folder answers itself; a run, an artifact or a Hugging Face folder by its inference graph in float32.",
        };
        command.Add(exactMatch);
        var options = new ConfigOptions(command, [.. Training.Config.ConfigKey.OfTrainConfig.Select(k => k.Name).Except(Used)]);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed, "data");
            SessionSettings.Require(config.Device, config.Precision);
            var answers = parsed.GetValue(exactMatch);
            if (InferenceFolder.Is(config.Model))
            {
                InferenceEvaluation.CheckFolder(options, parsed);
                return InferenceEvaluation.Run(config, answers);
            }
            if (answers)
                InferenceEvaluation.CheckAnswers(options, parsed, config);
            var code = Run(config);
            return answers && code == ExitCode.Done ? InferenceEvaluation.Answer(config) : code;
        });
        return command;
    }

    private static int Run(TrainConfig config)
    {
        var (isRun, isArtifact) = (RunFolder.Is(config.Model), TrainingArtifact.Is(config.Model));
        if (!isRun && !isArtifact)
            return RunGraph(config);
        if ((config.BatchSize ?? config.MicroBatchSize ?? config.SequenceLength) is not null)
        {
            throw new HaloException("eval", "--batch-size, --micro-batch-size, --sequence-length", "a graph or a Hugging Face folder as --model",
                "a folder whose evaluation graph has its sizes", "Leave it out, or give the model that it was prepared from, with --scheme and --format.");
        }
        var run = isRun ? RunFolder.Open(config.Model) : null;
        var artifact = TrainingArtifact.Open(run is null ? config.Model : ArtifactOf(run));
        var weights = run is null ? config.Weights : InferenceSource.NewestWeights(run);
        using var checkpoint = weights is null ? artifact.OpenWeights() : CheckpointReader.Open(weights);
        var @interface = TrainingInterface.Of(OnnxReader.Read(artifact.TrainingModel).Graph, artifact.TrainingModel);
        return Evaluate(config, @interface, new RunData(artifact.Checkpoint, @interface), checkpoint,
            settings => new GraphSession(artifact.EvalModel, settings));
    }

    /// <summary>A model that was not prepared: its graph is rewritten for this run alone.</summary>
    private static int RunGraph(TrainConfig config)
    {
        TrainingGraphSource.Folder(config)?.CheckWeights(TrainingArtifact.WeightsOf(config), Console.Error.WriteLine);
        var passes = TrainingArtifact.PassesOf(config);
        var model = GraphRewriter.Rewrite(TrainingGraphSource.Of(config), passes).Model;
        var @interface = TrainingInterface.Of(model.Graph, config.Model);
        TrainingArtifact.CheckSizes(config, @interface);
        var copies = Copies(config, @interface);
        using var checkpoint = CheckpointReader.Open(TrainingArtifact.WeightsOf(config));
        var evaluation = copies == 1 ? EvaluationGraph.Of(model) : EvaluationGraph.Widened(TrainingGraphSource.Of(config), copies, passes);
        return Evaluate(config, @interface, TrainingArtifact.DataOf(config, @interface), checkpoint,
            settings => new GraphSession("evaluation graph", OnnxWriter.ToBytes(evaluation), settings));
    }

    private static int Evaluate(
        TrainConfig config, TrainingInterface @interface, RunData data, CheckpointReader checkpoint, Func<SessionSettings, GraphSession> open)
    {
        var rows = data.Load(config.Data!);
        using var parameters = new ParameterBuffers(@interface.Parameters, device: config.Device);
        parameters.Load(checkpoint.Path, checkpoint.Tensors);
        var session = open(new SessionSettings { Device = config.Device, Replays = true, Threads = config.Threads, Operators = config.Operators });
        using var evaluator = new Evaluator(session, @interface, parameters, Copies(config, @interface));
        var (loss, counted) = evaluator.Loss(data.ForEvaluation(rows, config.BatchSize ?? @interface.Rows).Epoch());
        Print(loss, counted, rows);
        return ExitCode.Done;
    }

    /// <summary>The line of a loss.</summary>
    public static void Print(double loss, long counted, ChatDataset rows) =>
        Console.WriteLine($"loss {loss:F4} | perplexity {Math.Exp(loss):G5} | {counted} tokens of {rows.Rows.Count} rows");

    /// <summary>Batches of the graph that are run at once.</summary>
    private static int Copies(TrainConfig config, TrainingInterface @interface) =>
        ((config.BatchSize ?? @interface.Rows) + @interface.Rows - 1) / @interface.Rows;

    private static string ArtifactOf(RunFolder run)
    {
        var model = TrainConfig.Load(run.Config).Model;
        return TrainingArtifact.Is(model) ? model : run.Artifact;
    }
}
