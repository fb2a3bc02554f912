using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Halo.Runner.Training.Config;

/// <summary>A <see cref="TrainConfig"/> as YAML: one key a line, in the order of the record.</summary>
internal static partial class ConfigWriter
{
    public static string Write(TrainConfig config)
    {
        var text = new StringBuilder();
        foreach (var key in ConfigKey.OfTrainConfig)
        {
            var value = key.Property.GetValue(config);
            if (value is not IReadOnlyList<QuantizeRule> rules) text.Append($"{key.Name}: {Scalar(value)}\n");
            else if (rules.Count == 0) text.Append($"{key.Name}: []\n");
            else
            {
                text.Append($"{key.Name}:\n");
                foreach (var rule in rules)
                    text.Append("  - " + string.Join("\n    ", ConfigKey.OfQuantizeRule.Select(k => $"{k.Name}: {Scalar(k.Property.GetValue(rule))}")) + "\n");
            }
        }
        return text.ToString();
    }

    /// <summary>Numbers in their shortest exact form. Text that YAML could take for something else is quoted as in JSON, which YAML reads alike.</summary>
    private static string Scalar(object? value) => value switch
    {
        null => "null",
        string s => Plain().IsMatch(s) && s.ToUpperInvariant() is not ("NULL" or "TRUE" or "FALSE" or "YES" or "NO" or "ON" or "OFF" or "Y" or "N")
            ? s
            : JsonSerializer.Serialize(s),
        double d => d.ToString("R").Replace('E', 'e'),
        bool b => b ? "true" : "false",
        Enum e => ConfigKey.NameOf(e.ToString()),
        _ => value.ToString()!,
    };

    [GeneratedRegex("^[A-Za-z/][A-Za-z0-9_./-]*$")]
    private static partial Regex Plain();
}
