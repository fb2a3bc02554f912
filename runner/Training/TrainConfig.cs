using System.ComponentModel;
using Halo.Runner.Data;
using Halo.Runner.Training.Config;
using Halo.Runner.Training.Schedules;

namespace Halo.Training;

/// <summary>Everything that <c>halo train</c> can set. A property is a YAML key (snake_case), an option (kebab-case) and a schema entry.</summary>
/// <remarks>
/// Adding a setting is adding a property: reader, writer, schema, range checks and the options of verbs go by the properties and their attributes.
/// Keys are in the order of the files in Halo.Training.csproj: this one has the model and its data, the others what their names say.
/// </remarks>
public sealed partial record TrainConfig
{
    [Description("Hugging Face folder, forward graph, training graph or artifact folder.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers | ConfigUse.Plan)]
    public required string Model { get; init; }

    [Description("Safetensors with the starting weights; null: those that come with the model.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact | ConfigUse.Plan)]
    public string? Weights { get; init; }

    [Description("Folder of tokenizer.json; null: the model's folder.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare | ConfigUse.Eval | ConfigUse.Artifact)]
    public string? Tokenizer { get; init; }

    [Description("Data to train on, or to evaluate where nothing is trained: JSONL, JSON, Parquet or text, also .gz and .zst; patterns, and several with commas "
        + "between; behind a file @2 takes its rows twice an epoch, @0.5 half of them.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers)]
    public string? Data { get; init; }

    [Description("Form of the rows: auto (what the fields of a file's first row say), messages, sharegpt, alpaca, completion or text.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder | ConfigUse.Answers)]
    public DataFormat DataFormat { get; init; }

    [Description("Folder where tokenized data are kept and found again; null: data-cache in the run's folder for data files above 32 MiB, and nowhere for others.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder)]
    public string? DataCache { get; init; }

    [Description("Tokens of a conversation that are learned: answers (the assistant's, or the completion), or all. Of text all are in any case.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Eval | ConfigUse.EvalFolder)]
    public LearnedTokens Learn { get; init; }

    [Description("Data to evaluate on; null: no evaluation.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Plan)]
    public string? Valid { get; init; }

    [Description("Folder of the run: checkpoints, metrics, report.")]
    [UsedBy(ConfigUse.Train | ConfigUse.Prepare)]
    public string? Output { get; init; }

    /// <summary>How rows of data are read, and where their tokens are kept.</summary>
    internal RowSettings RowSettings() => new(DataFormat, Learn)
    {
        CacheFolder = DataCache ?? (Output is null ? null : Path.Combine(Output, Halo.Runner.Data.RowSettings.CacheName)),
        KeepsAll = DataCache is not null,
    };

    /// <summary>Updates of the run, from the batches of one epoch.</summary>
    public int TotalSteps(int batchesPerEpoch) => Steps ?? checked((Epochs ?? 1) * batchesPerEpoch);

    /// <exception cref="HaloException">The warm-up is longer than the run.</exception>
    internal LearningRateSchedule ScheduleOver(int totalSteps) => new(Schedule, LearningRate, WarmupSteps, totalSteps, MinLrRatio, DecayFraction);

    /// <summary>Reads a YAML file and lays options over it; an option wins over its key.</summary>
    /// <param name="yamlPath">The file, or null for options alone.</param>
    /// <param name="options">Key to text, as given on the command line.</param>
    /// <param name="required">Keys that the verb cannot do without, besides <c>model</c>.</param>
    /// <exception cref="HaloException">An unknown key, a value that is none, out of range or at odds with another; a required key is missing.</exception>
    public static TrainConfig Load(string? yamlPath, IReadOnlyDictionary<string, string>? options = null, params string[] required)
        => ConfigReader.Read(yamlPath is null ? null : (yamlPath, ConfigReader.TextOf(yamlPath)), options, required);

    /// <summary>As <see cref="Load"/>, from YAML text.</summary>
    public static TrainConfig Parse(string yaml, string name = "config", IReadOnlyDictionary<string, string>? options = null, params string[] required)
        => ConfigReader.Read((name, yaml), options, required);

    /// <summary>Every key in the order of this record, defaults included. Reading it gives the same record.</summary>
    public string ToYaml() => ConfigWriter.Write(this);

    /// <summary>JSON schema of the YAML form, as text.</summary>
    public static string Schema() => ConfigSchema.Write();
}
