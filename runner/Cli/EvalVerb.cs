using System.CommandLine;
using Halo.Models.Weights;
using Halo.Runner.Artifacts;
using Halo.Runner.Data;
using Halo.Runner.Export;
using Halo.Runner.Generation;
using Halo.Runner.Plans;
using Halo.Runner.Runs;
using Halo.Runner.Sessions;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Engine;

namespace Halo.Runner.Cli;

/// <summary>
/// <c>halo eval</c>: loss and perplexity of a model, a run, an artifact, a training graph or an inference folder on chat data, and exact match.
/// </summary>
internal static class EvalVerb
{
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
        var options = new ConfigOptions(command, ConfigUse.Eval);
        command.SetAction(parsed =>
        {
            var config = options.Read(parsed, "data");
            new Device(config.Device).Require(config.Precision);
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
        using var run = isRun ? RunFolder.Open(config.Model) : null;
        var artifact = run is null ? TrainingArtifact.Open(config.Model) : run.OpenArtifact(run.ReadConfig());
        if (config.Weights is { } named)
            Checkpoints.CheckGiven(named);
        if (config.Adapter is not null)
            throw new HaloException("eval", "--adapter", "a graph or a Hugging Face folder as --model", "a folder that was prepared", "Leave it out.");
        using var frozen = artifact.OpenWeights();
        using var adapter = artifact.OpenAdapter(frozen);
        using var other = run is not null ? InferenceSource.TrainedWeights(run, run.ReadConfig()) : config.Weights is { } given ? CheckpointReader.Open(given) : null;
        var trained = other?.Tensors ?? adapter?.Tensors ?? frozen.Tensors;
        var plan = artifact.PlanFor(config);
        using var held = artifact.Hold(plan.Training, frozen, plan.Session);
        return Evaluate(plan, other?.Path ?? frozen.Path, adapter is null ? trained : frozen.Tensors.Concat(trained).ToDictionary(),
            settings => GraphSession.OfBatch(artifact.EvalModel, settings, plan.Interface.BatchNames), held);
    }

    /// <summary>A model that was not prepared: its graph is rewritten for this run alone.</summary>
    private static int RunGraph(TrainConfig config)
    {
        var plan = TrainingPlan.Of(config, Console.Error.WriteLine, holds: false);
        var evaluation = Copies(plan) == 1 ? plan.Evaluation : plan.WidenedEvaluation(Copies(plan));
        using var parameters = ParameterFiles.Open(config.Adapter is { } adapter ? [plan.Weights, adapter] : [plan.Weights]);
        using var held = HeldTensors.Of(null, plan.Training.Graph, parameters.Path, parameters.Tensors, plan.Session);
        return Evaluate(plan, parameters.Path, parameters.Tensors,
            settings => GraphSession.OfBatch("evaluation graph", evaluation, settings, plan.Interface.BatchNames), held);
    }

    private static int Evaluate(
        TrainingPlan plan, string path, IReadOnlyDictionary<string, SafetensorsTensor> tensors, Func<SessionSettings, GraphSession> open,
        HeldTensors? held = null)
    {
        var files = plan.Data.LoadEach(plan.Config.Data).ToList();
        using var parameters = new ParameterBuffers(plan.Interface.Parameters, plan.Device, plan.Interface.ParameterType);
        parameters.Load(path, tensors);
        using var evaluator = new Evaluator(open(plan.Session), plan.Interface, parameters, Copies(plan), held);
        var losses = files.Select(file => evaluator.Loss(plan.Data.ForEvaluation(file.Rows, plan.BatchSize).Epoch())).ToList();
        if (plan.Device.IsGpu && AttentionUse.Take() is { } attention)
            Console.Error.WriteLine(attention);
        Print([.. files.Zip(losses, (file, l) => (file.Name, l.Loss, l.CountedTokens, file.Rows))]);
        return ExitCode.Done;
    }

    /// <summary>A line for the loss of each file, and one for that of all; on stderr what of the data is not in it.</summary>
    public static void Print(IReadOnlyList<(string Name, double Loss, long Counted, ChatDataset Rows)> files)
    {
        foreach (var (name, loss, counted, rows) in files)
        {
            foreach (var line in rows.Notes.Prepend(rows.Cuts))
                Console.Error.WriteLine(files.Count == 1 ? line : $"{name}: {line}");
            if (files.Count > 1)
                Console.WriteLine($"{name}: {Line(loss, counted, rows.Rows.Count)}");
        }
        var all = files.Sum(f => f.Counted);
        Console.WriteLine(Line(files.Count == 1 ? files[0].Loss : files.Sum(f => f.Loss * f.Counted) / all, all, files.Sum(f => f.Rows.Rows.Count)));
    }

    private static string Line(double loss, long counted, int rows) => $"loss {loss:F4} | perplexity {Math.Exp(loss):G5} | {counted} tokens of {rows} rows";

    /// <summary>Micro-batches that the graph takes at once.</summary>
    private static int Copies(TrainingPlan plan) => (plan.BatchSize + plan.Interface.Rows - 1) / plan.Interface.Rows;
}
