using System.CommandLine;
using Halo.Runner.Data;
using Halo.Runner.Training;
using Halo.Runner.Training.Config;

namespace Halo.Runner.Cli;

/// <summary>The keys of the training config that a verb reads as command-line options of the same names, in kebab-case.</summary>
internal sealed class ConfigOptions
{
    private readonly List<(string Key, Option<string?> Option)> _options = [];
    private readonly Option<string?> _file = new("--config") { Description = "YAML file with any of these settings; an option wins over its key." };

    /// <param name="command">The options are added to it.</param>
    /// <param name="verb">Gets the keys that it reads.</param>
    public ConfigOptions(Command command, ConfigUse verb)
    {
        command.Add(_file);
        foreach (var key in ConfigKey.OfTrainConfig.Where(k => k.IsUsedBy(verb) && k.Name != "quantize")) // rules per layer stand in the file
        {
            var option = new Option<string?>($"--{key.Name.Replace('_', '-')}")
            {
                Description = key.Description,
                HelpName = key.Type == typeof(string) ? "TEXT" : key.Type.IsEnum ? "NAME" : "N",
            };
            if (key.Name == "output")
                option.Aliases.Add("-o");
            _options.Add((key.Name, option));
            command.Add(option);
        }
    }

    /// <summary>The config of a command line; paths become absolute, so that it means the same from everywhere.</summary>
    public TrainConfig Read(ParseResult parsed, params string[] required)
    {
        var config = TrainConfig.Load(File(parsed), Given(parsed), required);
        return config with
        {
            Model = Full(config.Model)!,
            Weights = Full(config.Weights),
            Tokenizer = Full(config.Tokenizer),
            Adapter = Full(config.Adapter),
            Data = Files(config.Data),
            Valid = Files(config.Valid),
            DataCache = Full(config.DataCache),
            Output = Full(config.Output),
        };
    }

    /// <summary>The options that were given, by key.</summary>
    public Dictionary<string, string> Given(ParseResult parsed) =>
        _options.Where(o => parsed.GetResult(o.Option) is { Implicit: false }).ToDictionary(o => o.Key, o => parsed.GetValue(o.Option)!);

    /// <summary>The YAML file that was given.</summary>
    public string? File(ParseResult parsed) => parsed.GetValue(_file);

    private static string? Files(string? data) => data is null ? null : DataFiles.Absolute(data);

    private static string? Full(string? path) => path is null ? null : Path.GetFullPath(path);
}
