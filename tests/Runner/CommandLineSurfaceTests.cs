using System.CommandLine;
using System.Text;
using Halo.Runner.Cli;
using Halo.Runner.Training.Config;

namespace Halo.Tests.Runner;

/// <summary>What scripts and configs of users rest on: verbs, arguments, options and config keys, as one golden text.</summary>
public class CommandLineSurfaceTests
{
    private const string Config = "config", File = "Golden/command-line.txt";

    [Fact]
    public void It_is_what_the_golden_says()
    {
        var actual = Text();
        var golden = Path.Combine(AppContext.BaseDirectory, File);
        string[] before = System.IO.File.Exists(golden) ? System.IO.File.ReadAllLines(golden) : [];
        var after = actual.TrimEnd('\n').Split('\n');

        // Not even HALO_UPDATE_GOLDEN=1 takes a word away.
        var lost = Words(before).Except(Words(after)).ToList();
        Assert.True(lost.Count == 0, $"These were taken away: {string.Join("; ", lost)}.\nKeep each as an alias of what took its place "
            + "(Option.Aliases, Command.Aliases; a config key: a second name in ConfigKey), so that scripts and configs go on running.");
        if (Environment.GetEnvironmentVariable("HALO_UPDATE_GOLDEN") != "1")
        {
            var changed = after.Except(before).Select(line => "+ " + line).Concat(before.Except(after).Select(line => "- " + line)).ToList();
            Assert.True(changed.Count == 0, $"The command line is not that of {File}:\n{string.Join('\n', changed)}\nWhere this is meant, "
                + "'HALO_UPDATE_GOLDEN=1 dotnet test --filter CommandLineSurface' writes the golden anew; commit it with the change, and tell it in CHANGELOG.md.");
        }
        Golden.Check(File, actual);
    }

    [Fact]
    public void A_word_that_goes_is_noticed_and_an_alias_keeps_it()
    {
        string[] before = ["train", "  --steps <text>", "  --output, -o <text>", "  --device <cpu|cuda>", "", "config", "  seed <whole number>"];
        Assert.Empty(Words(before).Except(Words(["train", "  --updates, --steps <text>", "  --out, --output, -o <text>", "  --device <cpu|cuda|rocm>", "", "config",
            "  seed <whole number>", "  more <text>"])));
        Assert.Equal(["train --output", "train --device cpu", "config seed"],
            Words(before).Except(Words(["train", "  --steps <text>", "  -o <text>", "  --device <cuda|rocm>", "", "config"])));
    }

    /// <summary>Each verb, option, alias, value of a choice and key that the text names, with where it belongs.</summary>
    private static IEnumerable<string> Words(IEnumerable<string> lines)
    {
        var section = "";
        foreach (var line in lines.Where(l => l.Length > 0))
        {
            if (line[0] != ' ')
            {
                section = line.Split(',')[0];
                foreach (var name in line.Split(", "))
                    yield return name;
                continue;
            }
            if (section != Config && line[2] != '-')
                continue; // an argument's name is for the reader alone
            var kind = line.IndexOf(" <", StringComparison.Ordinal);
            var names = (kind < 0 ? line : line[..kind]).Replace(" required", "", StringComparison.Ordinal).Trim().Split(", ");
            foreach (var name in names)
                yield return $"{section} {name}";
            string[] choices = kind < 0 ? [] : line[(kind + 2)..line.IndexOf('>', kind)].Split('|');
            foreach (var word in choices.Length < 2 ? [] : names.SelectMany(name => choices.Select(choice => $"{section} {name} {choice}")))
                yield return word;
        }
    }

    private static string Text()
    {
        var text = new StringBuilder();
        Add(text, Root.Command(), "halo");
        text.Append($"{Config}\n");
        AddKeys(text, ConfigKey.OfTrainConfig, "  ");
        AddKeys(text, ConfigKey.OfQuantizeRule, "  quantize.");
        return text.ToString();
    }

    /// <summary>A command, its arguments in order, its options by name, then its commands in order.</summary>
    private static void Add(StringBuilder text, Command command, string path)
    {
        text.Append(string.Join(", ", command.Aliases.Order(StringComparer.Ordinal).Select(alias => $"{path[..(path.LastIndexOf(' ') + 1)]}{alias}").Prepend(path)))
            .Append('\n');
        foreach (var argument in command.Arguments)
            text.Append($"  {argument.Name}{Kind(argument.ValueType, argument.Arity)}\n");
        foreach (var option in command.Options.OrderBy(o => o.Name, StringComparer.Ordinal))
        {
            text.Append($"  {string.Join(", ", option.Aliases.Order(StringComparer.Ordinal).Prepend(option.Name))}{Kind(option.ValueType, option.Arity)}"
                + $"{(option.Required ? " required" : "")}\n");
        }
        text.Append('\n');
        foreach (var inner in command.Subcommands)
            Add(text, inner, $"{path} {inner.Name}");
    }

    private static void AddKeys(StringBuilder text, IEnumerable<ConfigKey> keys, string indent)
    {
        foreach (var key in keys.OrderBy(k => k.Name, StringComparer.Ordinal))
            text.Append($"{indent}{key.Name}{(key.Type.IsEnum || key.Type.IsPrimitive || key.Type == typeof(string) ? Kind(key.Type) : " <list>")}\n");
    }

    private static string Kind(Type type, ArgumentArity? arity = null)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        var element = type.IsArray ? type.GetElementType()! : type;
        var kind = element.IsEnum ? string.Join('|', Enum.GetNames(element).Select(n => arity is null ? ConfigKey.NameOf(n) : n.ToLowerInvariant()))
            : element == typeof(string) ? "text"
            : element == typeof(bool) ? arity is null ? "true|false" : ""
            : element == typeof(double) ? "number"
            : element == typeof(int) || element == typeof(long) || element == typeof(ulong) ? "whole number" : "";
        var count = arity is not { } a || a.MaximumNumberOfValues <= 1 ? arity?.MinimumNumberOfValues == 0 && kind.Length > 0 ? " optional" : ""
            : " repeated";
        return kind.Length == 0 ? "" : $" <{kind}>{count}";
    }
}
