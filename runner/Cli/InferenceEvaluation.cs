using System.CommandLine;
using Halo.Runner.Data;
using Halo.Runner.Generation;
using Halo.Runner.Sessions;
using Halo.Runner.Sources;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Cli;

/// <summary>What <c>halo eval</c> does by inference graphs: the loss of an inference folder, and exact match.</summary>
internal static class InferenceEvaluation
{
    /// <summary>Rows that are run at once where nothing is said: logits of all their tokens are in memory.</summary>
    private const int InferenceRows = 8, AnswersAtOnce = 32;

    /// <summary>Loss and perplexity of an inference folder, and the answers if they are asked for.</summary>
    public static int Run(TrainConfig config, bool answers)
    {
        using var model = InferenceModel.Open(config.Model, SettingsOf(config));
        var sequence = config.SequenceLength ?? Math.Min(HuggingFaceSource.DefaultSequence, model.Decoder.MaxPositions);
        if (sequence < 2 || sequence > model.Decoder.MaxPositions)
        {
            throw new HaloException("eval", "--sequence-length", $"2 to {model.Decoder.MaxPositions} tokens, which the folder's graph takes", $"{sequence}",
                "Give another.");
        }
        if (config.BatchSize < 1)
            throw new HaloException("eval", "--batch-size", "at least 1 row", $"{config.BatchSize}", "Give another.");
        var files = DataFiles.ForEvaluation(config.Data!).Select(file => (file.Name, Rows: ChatDataset.Load(file.Path, model.Tokenizer, config.RowSettings(), sequence))).ToList();
        EvalVerb.Print([.. files.Select(file =>
        {
            var (loss, counted) = InferenceLoss.Of(model.Decoder, file.Rows.Rows, config.BatchSize ?? InferenceRows);
            return (file.Name, loss, counted, file.Rows);
        })]);
        return answers ? Answer(model, config) : ExitCode.Done;
    }

    /// <summary>An inference folder has its own graph, weights and tokenizer.</summary>
    public static void CheckFolder(ConfigOptions options, ParseResult parsed) => Refuse(options, parsed, "an inference folder as --model", ConfigUse.EvalFolder);

    /// <summary>Exact match is of what would be served: the weights in float32, whatever the graph that was trained quantizes.</summary>
    public static void CheckAnswers(ConfigOptions options, ParseResult parsed, TrainConfig config)
    {
        if (!Directory.Exists(config.Model))
        {
            throw new HaloException("eval", "--exact-match", "a folder as --model", File.Exists(config.Model) ? "a graph" : "no such folder",
                "Name a run, an artifact, a Hugging Face folder or an inference folder.");
        }
        Refuse(options, parsed, "--exact-match", ConfigUse.Answers);
    }

    /// <summary>Exact match by the inference graph of a folder.</summary>
    public static int Answer(TrainConfig config)
    {
        using var model = InferenceModel.Open(config.Model, SettingsOf(config),
            adapter: config.Adapter);
        return Answer(model, config);
    }

    private static SessionSettings SettingsOf(TrainConfig config) =>
        new() { Device = new Device(config.Device), Provider = config.Provider, Threads = config.Threads };

    private static int Answer(InferenceModel model, TrainConfig config)
    {
        var result = ExactMatch.Of(model, config.Data!, config.BatchSize ?? AnswersAtOnce, (done, all) => Console.Error.WriteLine($"answers {done}/{all}"),
            config.DataFormat);
        Console.WriteLine($"exact match {result.Matched} of {result.Rows} | {result.Share:P1}");
        return ExitCode.Done;
    }

    /// <summary>Throws where an option is given that would not be honoured.</summary>
    private static void Refuse(ConfigOptions options, ParseResult parsed, string where, ConfigUse user)
    {
        var honoured = ConfigKey.OfTrainConfig.Where(key => key.IsUsedBy(user)).Select(key => key.Name).ToList();
        var others = options.Given(parsed).Keys.Except(honoured).Select(Named).ToList();
        if (options.File(parsed) is not null)
            others.Add("--config");
        if (others.Count > 0)
        {
            throw new HaloException("eval", where, $"no options but {string.Join(", ", honoured.Select(Named))}", string.Join(", ", others),
                "Leave them out: the model is taken as its folder has it.");
        }

        static string Named(string key) => $"--{key.Replace('_', '-')}";
    }
}
